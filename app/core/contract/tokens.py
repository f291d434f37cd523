"""Amounts in tokens: exact decimals of base units."""

from functools import lru_cache


@lru_cache(maxsize=8192)  # an event changes one of a stream's four amounts, or none
def in_tokens(base: int, decimals: int) -> str:
    """Return base / 10^decimals: no exponent, no zeros at the end, a minus where there is one."""
    if decimals == 0:
        return str(base)
    digits = str(abs(base)).rjust(decimals + 1, "0")
    whole, part = digits[:-decimals], digits[-decimals:].rstrip("0")
    return ("-" if base < 0 else "") + whole + ("." + part if part else "")
