/** What a filter wants, what streams are now (a live Map of them), and what each has accrued. */
import { isFinal, sleep } from "./fluxora-streams.js";

const I128 = 2n ** 127n - 1n, LONGEST_WAIT = 30_000;

export const list = (value) => [value].flat().filter((each) => each !== undefined && each !== null);

/** Whether an event is wanted by a filter: OR within a field, AND across. */
export function matches(filter, event) {
  const { payload = {}, detail, chain } = event;
  const of = {
    participant: [payload.sender, payload.recipient],
    recipient: [payload.recipient],
  };
  if (event.cause === "recipient_changed") for (const each of Object.values(of)) each.push(detail?.from);
  return Object.entries(filter).every(([field, wanted]) => {
    const found = of[field] ?? [event[field] ?? payload[field] ?? chain?.[field]];
    return !list(wanted).length || list(wanted).some((value) => found.includes(value));
  });
}

/** One filter that lets through at least what any of these does. */
export function superset([first, ...others]) {
  const shared = Object.keys(first).filter((field) => others.every((each) => field in each));
  return Object.fromEntries(shared.map((field) =>
    [field, [...new Set([first, ...others].flatMap((each) => list(each[field])))]]));
}

/** The streams as they are: a Map of the newest `limit`, from a snapshot and the events since. */
export class Streams extends Map {
  constructor(feed, limit) {
    super();
    Object.assign(this, { feed, limit, truncated: false });
    this.ready = this.load();
  }

  take(stream) {
    if ((super.get(stream.id)?.version ?? 0) >= stream.version) return;
    // The one that changed last goes last, so that the first is the one to give up.
    super.delete(stream.id);
    super.set(stream.id, stream);
    if (this.size > this.limit) this.truncated = super.delete(this.keys().next().value);
    this.feed.onStreams?.(stream);
  }

  /** Events that come meanwhile are taken as they come: the higher version is the truth. */
  async load() {
    const turn = this.turn = (this.turn ?? 0) + 1;
    for (let failures = 0; ; failures += 1) {
      try {
        const rows = await this.rows(() => turn === this.turn);
        if (turn === this.turn) for (const each of rows.reverse()) this.take(each);
        return this;
      } catch (error) {
        if (turn !== this.turn || this.feed.closed) return this;
        if (isFinal(error.status)) throw error;
        await sleep(error.told ?? Math.random() * Math.min(LONGEST_WAIT, 1000 * 2 ** failures));
      }
    }
  }

  async rows(current) {
    const { sender, recipient, streamId } = this.feed.filter, rows = [];
    const { event, ...filter } = this.feed.filter;
    const wanted = (stream) => matches(filter, { streamId: stream.id, payload: stream });
    let cursor, first;
    if (streamId) {
      for (const id of streamId) {
        const { body, position } = await this.feed.get(`api/streams/${encodeURIComponent(id)}`).catch((error) => {
          if (error.status === 404) return {};
          throw error;
        });
        first ??= position;
        if (body && wanted(body)) rows.push(body);
      }
    } else do {
      const { body, position } = await this.feed.get("api/streams", { limit: 500, cursor, sender, recipient });
      first ??= position;
      cursor = body.next;
      rows.push(...body.streams.filter(wanted));
    } while (cursor && rows.length < this.limit && current());
    if (cursor || rows.length > this.limit) this.truncated = true;
    if (current()) this.feed.loaded(first);
    return rows.slice(0, this.limit);
  }

  reset() {
    this.clear();
    this.truncated = false;
    this.ready = this.load();
    this.ready.catch(() => {});
  }
}

/** Exact base units accrued at a time (Unix seconds, or a Date), by the contract's own rules. */
export function accrued(stream, at) {
  const { base = {}, kind = "linear", status } = stream;
  const units = (text) => { // Decimal tokens of a stream that did not come from the chain: 7 decimals.
    const [whole, part = ""] = String(text ?? 0).split(".");
    return BigInt(whole + part.padEnd(7, "0"));
  };
  const time = (name, otherwise) => BigInt(base[name] ?? stream[name] ?? otherwise);
  const deposit = base.deposit === undefined ? units(stream.depositAmount) : BigInt(base.deposit);
  const rate = base.ratePerSecond === undefined ? units(stream.ratePerSecond) : BigInt(base.ratePerSecond);
  const clamp = (value) => (value < 0n ? 0n : value > deposit ? deposit : value);
  const start = time("startTime", 0), cliff = time("cliffTime", start), since = time("checkpointAt", start);
  const checkpoint = BigInt(base.checkpoint ?? 0), open = !stream.chainStreamId && !Number(stream.endTime);
  const end = open ? 2n ** 64n - 1n : time("endTime", 0);
  let now = typeof at === "bigint" ? at : BigInt(Math.floor(at instanceof Date ? at / 1000 : at));
  if (status === "completed") return deposit;
  if (status === "cancelled") {
    const { cancelledAt = stream.cancelledAt } = base;
    // Nobody told when: no more than what left is known to have accrued.
    if (cancelledAt == null) return base.withdrawn === undefined ? units(stream.streamedAmount) : BigInt(base.withdrawn);
    now = BigInt(cancelledAt);
  }
  if (now < cliff || deposit <= 0n) return 0n;
  if (kind === "cliffOnly") return deposit;
  const until = now < end ? now : end, from = kind === "cliffSlope" ? cliff : since;
  const product = rate * (until > from ? until - from : 0n);
  if (kind !== "cliffSlope" && rate < 0n) return 0n;
  if (kind !== "cliffSlope" && since >= end) return clamp(checkpoint);
  if (kind === "cliffSlope") return clamp(product);
  return clamp(checkpoint + (product > I128 ? deposit : product)); // The contract's multiplication fails there.
}
