/** The feed as it arrives, newest first, with what happened in words. */
import { events, moment, short } from "./amounts.js";
import { copy, find, put, throttled } from "./elements.js";
import { causeName, sentence } from "./words.js";

const MOST = 100, REDRAW = 200;

export class EventList {
  constructor(root) {
    Object.assign(this, { root, list: find("ol", root), fresh: [], count: 0, paused: false });
    this.redraw = throttled(() => this.draw(), REDRAW);
    find(".hold", root).onclick = ({ currentTarget }) => {
      this.paused = !this.paused;
      currentTarget.setAttribute("aria-pressed", this.paused);
      put(currentTarget, this.paused ? "Go on" : "Hold");
      this.draw();
    };
  }

  take(event) {
    this.count += 1;
    this.fresh = [...this.fresh.slice(1 - MOST), event];
    this.redraw();
  }

  draw() {
    if (this.root.hidden || document.hidden) return;
    put(".count", events(this.count), this.root);
    find(".empty", this.root).hidden = this.count > 0;
    if (this.paused) return;
    this.list.prepend(...this.fresh.reverse().map((event) => eventRow(event)));
    this.fresh = [];
    while (this.list.children.length > MOST) this.list.lastElementChild.remove();
  }
}

/** One event. `was`: the stream before, if it is known; `own`: on the stream's own page, without its name. */
export function eventRow(event, was, own = false) {
  const row = copy("#event");
  row.dataset.event = event.event;
  row.dataset.id = event.id;
  put(".name", causeName(event), row);
  const link = put(".link", short(event.streamId), row);
  link.href = `#/stream/${event.streamId}`;
  link.hidden = own;
  put(".words", sentence(event, was), row);
  // When it happened: on the chain, if it comes from there.
  const when = event.chain?.closedAt ? new Date(event.chain.closedAt * 1000) : new Date(event.timestamp);
  put("time", moment(when), row).dateTime = when.toISOString();
  put(".where", event.chain ? `ledger ${event.chain.ledger}` : `v${event.version}`, row).title = event.id;
  return row;
}
