/** What an event says, in words. The causes and their details: docs/chain.md. */
import { amount, day, decimalsOf, depositOf, rateOf, short } from "./amounts.js";

const token = (stream, count) => amount(BigInt(count ?? 0), decimalsOf(stream));
const refunded = (stream, detail) => (BigInt(detail.refund ?? 0) > 0n ? `, ${token(stream, detail.refund)} back to the sender` : "");

const SENTENCES = {
  created: (stream) => opened(stream),
  cloned: (stream, detail) => `copied from stream ${detail.sourceStreamId}`,
  renewed: (stream, detail) => (stream.chainStreamId === detail.nextStreamId
    ? `goes on where stream ${detail.previousStreamId} ended` : `ended, and goes on as stream ${detail.nextStreamId}`),
  offer_accepted: (stream, detail) => `offer ${detail.offerId} was accepted`,
  share_delegated: (stream, detail) => (stream.chainStreamId === detail.childStreamId
    ? `took over a share of stream ${detail.parentStreamId}` : `gave a share of ${detail.bps / 100} % to stream ${detail.childStreamId}`),
  withdrawn: (stream, detail) => `${token(stream, detail.amount)} withdrawn to ${short(detail.destination)}`
    + (detail.auto ? ", by itself" : ""),
  completed: () => "completed: all of it was paid",
  cancelled: (stream, detail) => `cancelled${refunded(stream, detail)}`,
  keeper_cancelled: (stream, detail) => `cancelled by keeper ${short(detail.keeper)}${refunded(stream, detail)}`,
  paused: (stream, detail) => `paused${detail.reason ? `: ${detail.reason}` : ""}`,
  resumed: (stream, detail) => `resumed after ${detail.pausedSeconds ?? 0} s`,
  topped_up: (stream, detail) => `topped up by ${token(stream, detail.amount)}`,
  rate_changed: (stream, detail) => `${token(stream, detail.from)} → ${token(stream, detail.to)} per second${refunded(stream, detail)}`,
  end_changed: (stream, detail) => `ends ${day(Number(detail.to))}, before: ${day(Number(detail.from))}${refunded(stream, detail)}`,
  recipient_changed: (stream, detail) => `recipient ${short(detail.from)} → ${short(detail.to)}`,
  claim_owner_changed: (stream, detail) => `claim owner ${short(detail.from) || "nobody"} → ${short(detail.to) || "nobody"}`,
  auto_claim_set: (stream, detail) => `withdrawals go to ${short(detail.destination)} by themselves`,
  auto_claim_revoked: () => "withdrawals no longer go by themselves",
  decommissioned: () => "put out of use by its sender",
  recommissioned: () => "in use again",
  closed: () => "closed: the contract gave up its record",
  reconciled: () => "compared with the contract, and put right",
};

const opened = (stream) => {
  const sum = amount(depositOf(stream), decimalsOf(stream)), rate = amount(rateOf(stream), decimalsOf(stream));
  return `${sum} from ${short(stream.sender)} to ${short(stream.recipient)}, ${rate} per second`;
};

const LABELS = {
  streamedAmount: "streamed", remainingAmount: "remaining", depositAmount: "deposit", ratePerSecond: "per second",
  endTime: "end",
};
const UNTOLD = new Set(["base", "checkpointAt", "lastEvent", "kind", "assumed"]);

/** `was` is the stream before, where it is known. */
export function sentence({ event, cause, detail, payload, changed = [] }, was) {
  const told = SENTENCES[cause];
  if (told) return told(payload, detail ?? {});
  if (event === "stream.created") return opened(payload);
  if (event === "stream.cancelled") return `cancelled, ${payload.streamedAmount} of ${payload.depositAmount} streamed`;
  return changed.filter((field) => !UNTOLD.has(field)).map((field) => changedWords(field, payload, was)).join(", ") || "changed";
}

function changedWords(field, stream, was) {
  const show = (value) => (field === "endTime" ? day(value) : String(value ?? "none"));
  const label = LABELS[field] ?? field, before = was && was[field] !== undefined ? `${show(was[field])} → ` : "";
  return `${label} ${before}${show(stream[field])}`;
}

/** The cause as a short name: "topped up". Events without one are named by what they are. */
export const causeName = ({ cause, event }) =>
  (cause && cause !== "api" && cause !== "updated" ? cause : event.replace("stream.", "")).replaceAll("_", " ");
