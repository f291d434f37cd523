/** The streams as a table that moves. Only the rows in sight exist: 5,000 streams cost what twenty cost. */
import { accrued } from "../fluxora-streams.js";
import { ago, amount, date, decimalsOf, depositOf, isOpen, rateOf, short } from "./amounts.js";
import { copy, find, put, throttled } from "./elements.js";
import { progressBar, showProgress } from "./progress.js";

const REDRAW = 250, SPARE = 4, FIRST_GUESS = 56;
const compare = (one, two) => (one < two ? -1 : one > two ? 1 : 0);
const ORDERS = {
  // The map has the one that changed last at its end, so most of it is in order.
  changed: (streams) => streams.reverse().sort((one, two) => compare(two.updatedAt, one.updatedAt)),
  created: (streams) => streams.sort((one, two) => compare(two.createdAt, one.createdAt)),
  ending: (streams) => streams.filter(isOpen).sort((one, two) => (one.endTime || Infinity) - (two.endTime || Infinity)),
};

export class StreamTable {
  /** `streams()` is a live Map; `now()` milliseconds by the service's clock. */
  constructor(root, streams, now) {
    Object.assign(this, { root, streams, now, rows: new Map(), causes: new Map(), waiting: false, height: FIRST_GUESS, list: [] });
    this.body = find("tbody", root);
    this.box = find(".scroll", root);
    this.redraw = throttled(() => this.draw(), REDRAW);
    for (const name of ["#search", "#status-filter", "#order"]) find(name, root).addEventListener("input", () => this.draw(true));
    find("#search-form", root).addEventListener("submit", (event) => event.preventDefault());
    this.box.addEventListener("scroll", () => this.#place(), { passive: true });
    find("#show-waiting", root).onclick = () => { this.box.scrollTop = 0; this.draw(true); };
    addEventListener("resize", () => { this.height = 0; this.draw(true); });
  }

  /** A stream has changed; `cause` says why, in words. */
  changed(stream, cause) {
    if (cause) this.causes.set(stream.id, cause);
    if (this.causes.size > 20_000) this.causes.delete(this.causes.keys().next().value);
    this.redraw();
  }

  /** Rows do not move under a finger, a pointer or a keyboard. */
  get held() { return this.box.scrollTop > 0 || this.box.matches(":hover, :focus-within"); }

  draw(asked = false) {
    if (this.root.hidden || document.hidden) return;
    const list = this.#wanted();
    const moved = list.length !== this.list.length || list.some((each, at) => each.id !== this.list[at]?.id);
    this.waiting = moved && this.held && !asked && this.list.length > 0;
    if (this.waiting) {
      const streams = this.streams();
      this.list = this.list.map(({ id }) => streams.get(id)).filter(Boolean);
    } else this.list = list;
    find("#show-waiting", this.root).hidden = !this.waiting;
    const all = this.streams().size;
    put("#shown", list.length === all ? `${all.toLocaleString()} streams` : `${list.length.toLocaleString()} of ${all.toLocaleString()} streams`, this.root);
    find(".nothing", this.root).hidden = list.length > 0;
    put(".nothing", all ? "No stream fits the search." : "No streams yet. They appear here as they are created.", this.root);
    this.#place();
  }

  /** A second has passed. */
  tick() {
    if (this.root.hidden || document.hidden) return;
    for (const [id, row] of this.rows) this.#fill(row, this.streams().get(id));
  }

  #wanted() {
    const text = find("#search", this.root).value.trim().toLowerCase(), status = find("#status-filter", this.root).value;
    const fits = (stream) => (!status || stream.status === status) && (!text
      || [stream.id, stream.sender, stream.recipient, stream.contractId, stream.chainStreamId, stream.memoText]
        .some((each) => each && each.toLowerCase().includes(text)));
    return ORDERS[find("#order", this.root).value]([...this.streams().values()].filter(fits));
  }

  #place() {
    const { list, box } = this, height = this.height || FIRST_GUESS;
    const first = Math.max(0, Math.floor(box.scrollTop / height) - SPARE);
    const last = Math.min(list.length, Math.ceil((box.scrollTop + box.clientHeight) / height) + SPARE);
    const seen = list.slice(first, last), ids = new Set(seen.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.remove();
      this.rows.delete(id);
    }
    const [top, bottom] = this.body.querySelectorAll(".space");
    let place = top.nextSibling;
    seen.forEach((stream, index) => {
      const row = this.#row(stream);
      if (row === place) place = row.nextSibling;
      else this.body.insertBefore(row, place);
      row.setAttribute("aria-rowindex", first + index + 2);
      this.#fill(row, stream);
    });
    top.style.height = `${first * height}px`;
    bottom.style.height = `${(list.length - last) * height}px`;
    find("table", this.root).setAttribute("aria-rowcount", list.length + 1);
    this.#measure();
  }

  /** The height of a row depends on the font and on the width of the window. */
  #measure() {
    const height = this.rows.values().next().value?.offsetHeight;
    if (!height || height === this.height) return;
    this.height = height;
    this.#place();
  }

  #row(stream) {
    let row = this.rows.get(stream.id);
    if (row) return row;
    row = copy("#row");
    this.rows.set(stream.id, row);
    row.dataset.id = stream.id;
    const link = put(".link", short(stream.id), row);
    link.href = `#/stream/${stream.id}`;
    link.title = stream.id;
    find(".bar", row).append(progressBar());
    return row;
  }

  #fill(row, stream) {
    if (!stream) return;
    const decimals = decimalsOf(stream), deposit = depositOf(stream);
    const streamed = accrued(stream, Math.floor(this.now() / 1000));
    put(".from", short(stream.sender), row).title = stream.sender;
    put(".to", short(stream.recipient), row).title = stream.recipient;
    put(".streamed", amount(streamed, decimals, true), row);
    put(".deposit", `of ${amount(deposit, decimals)}`, row);
    put(".rate", isOpen(stream) && streamed < deposit ? amount(rateOf(stream), decimals) : "–", row);
    put(".until", stream.endTime ? `to ${date(stream.endTime)}` : "no end", row);
    put(".status", stream.status, row).dataset.status = stream.status;
    put(".cause", this.causes.get(stream.id) ?? "", row);
    put(".when", ago(stream.updatedAt, this.now()), row);
    showProgress(find("svg", row), stream, streamed, deposit);
    if (row.dataset.version && row.dataset.version !== String(stream.version)) flash(row);
    row.dataset.version = stream.version;
  }
}

function flash(row) {
  row.getAnimations?.().forEach((each) => each.cancel());
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches)
    row.animate([{ backgroundColor: "var(--info-back)" }, { backgroundColor: "transparent" }], 900);
}
