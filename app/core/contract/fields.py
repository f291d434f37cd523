"""The types of the contract's fields: what Python holds, and what the XDR must say."""

from typing import Annotated

Bool = Annotated[bool, "bool"]
U32 = Annotated[int, "u32"]
U64 = Annotated[int, "u64"]
"""Times in Unix seconds and stream ids: wider than a JSON number."""
I128 = Annotated[int, "i128"]
"""Amounts, in base units of the token."""
Address = Annotated[str, "address"]
"""`G...` or `C...`."""
Text = Annotated[str, "string"]
"""UTF-8; what is no UTF-8, and NUL, which PostgreSQL cannot store, is replaced by U+FFFD."""
Bytes = Annotated[str, "bytes"]
"""Hexadecimal."""
Hash = Annotated[str, "hash"]
"""32 bytes, hexadecimal."""

OptionalU64 = Annotated[int | None, "u64?"]
OptionalAddress = Annotated[str | None, "address?"]
OptionalBytes = Annotated[str | None, "bytes?"]
Metadata = Annotated[tuple[tuple[str, str], ...] | None, "metadata?"]
"""Pairs of key and value, hexadecimal, in the order of the XDR."""
