"""The contract's topics: which fact each is, and the shape that its topics and its data must have."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.core.contract import facts, notices, unpublished
from app.core.contract.facts import StreamFact
from app.core.contract.notices import Notice

Fact = StreamFact | Notice


@dataclass(frozen=True, slots=True)
class Struct:
    """A map of the fact's fields, by name. Those that we do not know are left out: the contract may add to them."""

    renamed: Mapping[str, str]
    """The contract's name of a field where ours differs."""
    newer: frozenset[str] = frozenset()
    """Fields that older revisions did not have; the fact has a default for them."""


@dataclass(frozen=True, slots=True)
class Variant:
    """An enum's arm that holds the stream's id: a vector of its name and the number."""

    name: str


@dataclass(frozen=True, slots=True)
class Row:
    """A tuple: a vector of the fact's fields, in their order."""


@dataclass(frozen=True, slots=True)
class Single:
    """One value of this type alone; void has no field, any other is the fact's `field`."""

    type: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """One form of one topic. `topics` names what follows the topic's own symbol: the fact's fields, in order."""

    fact: type[Fact]
    topics: tuple[str, ...]
    data: Struct | Variant | Row | Single


def _struct(fact: type[Fact], *topics: str, **renamed: str) -> Shape:
    return Shape(fact, topics, Struct(renamed))


def _of_stream(fact: type[Fact], **renamed: str) -> Shape:
    return Shape(fact, ("stream_id",), Struct(renamed))


def _variant(fact: type[Fact], name: str) -> Shape:
    return Shape(fact, ("stream_id",), Variant(name))


def _legacy(fact: type[Fact], kind: str, field: str = "") -> Shape:
    return Shape(fact, ("stream_id",), Single(kind, field))


def _row(fact: type[Fact], *topics: str) -> Shape:
    return Shape(fact, topics, Row())


SHAPES: Final[Mapping[str, tuple[Shape, ...]]] = {
    "created": (Shape(facts.Created, ("stream_id",), Struct({}, frozenset({"withdraw_dust_threshold"}))),),
    "cloned": (_of_stream(facts.Cloned, stream_id="new_stream_id"),),
    "renewed": (Shape(facts.Renewed, ("old_stream_id", "stream_id"), Struct({"stream_id": "new_stream_id"})),),
    "del_share": (_of_stream(facts.ShareDelegated, stream_id="parent_stream_id"),),
    "paused": (_of_stream(facts.Paused), _variant(facts.Paused, "Paused"), _legacy(facts.Paused, "void")),
    "resumed": (_variant(facts.Resumed, "Resumed"), _legacy(facts.Resumed, "void")),
    "cancelled": (
        _variant(facts.Cancelled, "StreamCancelled"),
        _variant(facts.Cancelled, "Cancelled"),
        _legacy(facts.Cancelled, "i128", "refund"),
    ),
    "kp_cncl": (_of_stream(facts.KeeperCancelled),),
    "completed": (_variant(facts.Completed, "StreamCompleted"),),
    "closed": (_variant(facts.Closed, "StreamClosed"),),
    "decomm": (_of_stream(facts.Decommissioned),),
    "withdrew": (_of_stream(facts.Withdrew), _legacy(facts.Withdrew, "i128", "amount")),
    "wdraw_to": (_of_stream(facts.WithdrewTo),),
    "ac_trig": (_of_stream(facts.AutoClaimTriggered),),
    "top_up": (_of_stream(facts.ToppedUp),),
    "rate_upd": (_of_stream(facts.RateUpdated),),
    "rate_dec": (_of_stream(facts.RateDecreased),),
    "end_shrt": (_of_stream(facts.EndShortened),),
    "end_ext": (_of_stream(facts.EndExtended),),
    "recp_upd": (_of_stream(facts.RecipientChanged),),
    "claim_own": (_of_stream(facts.ClaimOwnerChanged),),
    "ac_set": (_of_stream(facts.AutoClaimSet),),
    "ac_revoke": (_of_stream(facts.AutoClaimRevoked),),
    "health": (_of_stream(facts.HealthChecked),),
    "rate_cap": (_of_stream(unpublished.RateCapped),),
    "sndr_xfr": (_of_stream(unpublished.SenderChanged),),
    "offr_acc": (_of_stream(facts.OfferAccepted, stream_id="offer_id"),),
    "offr_crt": (_struct(notices.OfferCreated, "offer_id"),),
    "offr_cxl": (_struct(notices.OfferWithdrawn, "offer_id"),),
    "gl_pause": (_struct(notices.GloballyPaused),),
    "gl_resume": (_struct(notices.GloballyResumed),),
    "pr_pause": (_struct(notices.ProtocolPaused, "admin"),),
    "pr_resume": (_struct(notices.ProtocolResumed, "admin"),),
    "ct_pause": (_struct(notices.CreationPaused),),
    "ex_swept": (_struct(notices.ExcessSwept, "caller"),),
    "AdminUpd": (_row(notices.AdminChanged),),
    "upgraded": (_struct(notices.Upgraded),),
    "upgrade": (_row(notices.UpgradeCalled),),
    "migrated": (_row(unpublished.Migrated),),
    "tmpl_def": (_struct(notices.TemplateDefined, "template_id"),),
    "res_rel": (_row(notices.ReservationReleased, "owner"),),
}
"""Each topic's shapes, today's first, then those of older revisions of the contract, which old ledgers still hold."""
