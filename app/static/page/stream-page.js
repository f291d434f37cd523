/** One stream: what it is now, and all that happened to it. */
import { accrued } from "../fluxora-streams.js";
import { amount, day, decimalsOf, depositOf, isOpen, rateOf, withdrawnOf } from "./amounts.js";
import { find, put } from "./elements.js";
import { eventRow } from "./event-list.js";
import { progressBar, showProgress } from "./progress.js";

const MOST = 500;

export class StreamPage {
  constructor(root, feed, now) {
    Object.assign(this, { root, feed, now, id: undefined, stream: undefined, events: [] });
    this.bar = progressBar();
    find(".bar", root).append(this.bar);
  }

  async open(id) {
    Object.assign(this, { id, stream: this.feed().streams.get(id), events: [] });
    put("h2", id, this.root);
    put(".problem", "", this.root);
    this.draw();
    try {
      const { body } = await this.feed().get(`api/streams/${encodeURIComponent(id)}`);
      if (this.id === id) this.#newer(body);
      await this.#load(id);
    } catch (error) {
      if (this.id === id) put(".problem", error.message, this.root);
    }
    if (this.id === id) this.draw();
  }

  close() { this.id = undefined; }

  take(event) {
    if (event.streamId !== this.id) return;
    this.#newer(event.payload);
    this.#add([event]);
    this.draw();
  }

  async #load(id) {
    let after;
    do {
      const { body } = await this.feed().get("api/events", { streamId: id, after, limit: 1000 });
      if (this.id !== id) return;
      this.#add(body.events);
      after = body.events.length === 1000 ? body.cursor : undefined;
    } while (after);
  }

  #newer(stream) {
    if ((this.stream?.version ?? 0) <= stream.version) this.stream = stream;
  }

  /** What comes live while the log is read may come twice: its version tells. */
  #add(events) {
    const known = new Map([...this.events, ...events].map((event) => [event.version, event]));
    this.events = [...known.values()].sort((one, two) => one.version - two.version).slice(-MOST);
  }

  draw() {
    const { stream } = this;
    find(".facts", this.root).hidden = find(".big", this.root).hidden = !stream;
    if (!stream) return;
    put(".status", stream.status, this.root).dataset.status = stream.status;
    this.#facts(stream);
    this.tick();
    const rows = this.events.map((event, at) => eventRow(event, this.events[at - 1]?.payload, true));
    find("ol", this.root).replaceChildren(...rows.reverse());
    find(".empty", this.root).hidden = rows.length > 0;
  }

  tick() {
    if (!this.stream || this.root.hidden) return;
    const { stream } = this, decimals = decimalsOf(stream), deposit = depositOf(stream);
    const streamed = accrued(stream, Math.floor(this.now() / 1000)), withdrawn = withdrawnOf(stream);
    put(".streamed", amount(streamed, decimals, true), this.root);
    put(".of", `of ${amount(deposit, decimals)}`, this.root);
    put(".claimable", stream.base ? amount(streamed > withdrawn ? streamed - withdrawn : 0n, decimals, true) : "–", this.root);
    showProgress(this.bar, stream, streamed, deposit);
  }

  #facts(stream) {
    const decimals = decimalsOf(stream);
    const facts = [
      ["Sender", stream.sender], ["Recipient", stream.recipient],
      ["Per second", isOpen(stream) ? amount(rateOf(stream), decimals) : "–"],
      ["Withdrawn", amount(withdrawnOf(stream), decimals)],
      ["Started", day(stream.startTime)], ["Cliff", stream.cliffTime > stream.startTime ? day(stream.cliffTime) : undefined],
      ["Ends", stream.endTime ? day(stream.endTime) : "open"],
      ["Cancelled", stream.cancelledAt ? day(stream.cancelledAt) : undefined],
      ["Paused since", stream.pausedAt ? day(stream.pausedAt) : undefined], ["Reason", stream.pauseReason],
      ["Memo", stream.memoText ?? stream.memo], ["Contract", stream.contractId],
      ["Number in the contract", stream.chainStreamId], ["Token", stream.token?.contractId],
      ["Transaction", stream.transactionHash], ["Not settled by events", stream.assumed?.join(", ")],
      ["Version", stream.version],
    ].filter(([, value]) => value !== undefined && value !== null && value !== "");
    find(".facts", this.root).replaceChildren(...facts.flatMap(([name, value]) => [
      Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: value }),
    ]));
  }
}
