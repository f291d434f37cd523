"""An event that was understood: the fact, where it stands, and what is known of its transaction."""

from typing import NamedTuple

from app.core.contract.facts import StreamFact
from app.core.contract.notices import Notice
from app.core.contract.place import Hint, Place


class Seen(NamedTuple):
    """`contract_id` is who published it: a streaming contract, or a token (then the fact is a TokenMoved)."""

    contract_id: str
    place: Place
    fact: StreamFact | Notice
    topic: str
    hint: Hint | None = None
