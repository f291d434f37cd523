"""Whose account a wallet's sign-in names: `sub` of SEP-10 and SEP-45 tokens."""

import re
from typing import Final

from app.core.addresses import account_of_muxed, is_address

_MEMO: Final = re.compile(r"(G[A-Z2-7]{55}):[0-9]{1,20}")


class SharedAccount(Exception):
    """Several people share the account, and a setting refuses that."""


def owner_of(subject: str, *, shared: bool) -> str | None:
    """Return the address whose streams are the subject's; None: it is no Stellar address.

    Users of a shared account (`M...`, `G...:memo`) see each other's streams. Raises SharedAccount if not `shared`.
    """
    if is_address(subject):
        return subject
    memo = _MEMO.fullmatch(subject)
    base = memo[1] if memo and is_address(memo[1]) else account_of_muxed(subject)
    if base is not None and not shared:
        message = "it is of a user of a shared account, which JWT_SHARED_ACCOUNTS=false refuses"
        raise SharedAccount(message)
    return base
