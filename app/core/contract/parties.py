"""Who a stream pays, and who may withdraw. Taken in every status: the contract checks none."""

from collections.abc import Mapping
from typing import Final

from app.core.contract import facts
from app.core.contract.effect import Effect, Rule, Scene, Verdict
from app.core.contract.replacing import replace
from app.core.contract.stream import ChainStream


def _recipient_changed(fact: facts.RecipientChanged, stream: ChainStream, scene: Scene) -> Verdict:
    """Tell the old recipient too: he would never learn that he lost the stream."""
    del scene
    parties = tuple(dict.fromkeys(old for old in (fact.old_recipient, stream.recipient) if old != fact.new_recipient))
    after = replace(stream, recipient=fact.new_recipient)
    detail = {"from": fact.old_recipient, "to": fact.new_recipient}
    return (Effect(after, "recipient_changed", detail, parties=parties),)


def _claim_owner_changed(fact: facts.ClaimOwnerChanged, stream: ChainStream, scene: Scene) -> Verdict:
    del scene
    detail = {"from": fact.old_owner, "to": fact.new_owner}
    return (Effect(replace(stream, claim_owner=fact.new_owner), "claim_owner_changed", detail),)


def _auto_claim_set(fact: facts.AutoClaimSet, stream: ChainStream, scene: Scene) -> Verdict:
    del scene
    detail = {"destination": fact.destination}
    return (Effect(replace(stream, auto_claim=fact.destination), "auto_claim_set", detail),)


def _auto_claim_revoked(fact: facts.AutoClaimRevoked, stream: ChainStream, scene: Scene) -> Verdict:
    del fact, scene
    return (Effect(replace(stream, auto_claim=None), "auto_claim_revoked", {"destination": stream.auto_claim}),)


RULES: Final[Mapping[type, Rule]] = {
    facts.RecipientChanged: _recipient_changed,
    facts.ClaimOwnerChanged: _claim_owner_changed,
    facts.AutoClaimSet: _auto_claim_set,
    facts.AutoClaimRevoked: _auto_claim_revoked,
}
