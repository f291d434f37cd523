/** Both feeds as any program would get them, side by side: the same events, byte for byte, in the same order. */
import { clock, events, short } from "./amounts.js";
import { copy, find, put, throttled } from "./elements.js";
import { call, session, ticket } from "./session.js";

const MOST_SHOWN = 100;
const NAMES = ["stream.created", "stream.updated", "stream.cancelled", "service.degraded", "service.recovered", "feed.reset"];
const query = (fields) => new URLSearchParams(fields).toString();

class Raw {
  constructor(title, path, view) {
    Object.assign(this, { path, title, view, panel: copy("#feed"), cursor: "", failures: 0, wanted: true });
    this.clear();
    put("h3", title, this.panel);
    put(".path", `GET /${path}`, this.panel);
    find(".events", this.panel).ariaLabel = `Events over ${title}, newest first`;
    find(".toggle", this.panel).onclick = () => { this.wanted = !this.wanted; this.wanted ? this.open() : this.stop(); };
  }

  clear() {
    Object.assign(this, { count: 0, last: "none", texts: [], fresh: [] });
    find(".events", this.panel).replaceChildren();
  }

  start(cursor) {
    this.clear();
    this.cursor = cursor;
    if (this.wanted) this.open();
  }

  async open() {
    this.close();
    // A browser has six connections to a service over HTTP/1.1, for all its tabs: the seventh tab would never load.
    if (document.hidden) return this.show("paused", "Paused while hidden");
    this.show("connecting", "Connecting");
    find(".state", this.panel).dataset.query = query(this.view.filter);
    const turn = this.turn;
    try {
      const more = await ticket();
      if (turn === this.turn) this.connect(`${this.path}?${query({ ...this.view.filter, ...more, lastEventId: this.cursor })}`);
    } catch { if (turn === this.turn) this.retry(); }
  }

  stop() { this.close(); this.show("stopped", "Stopped"); }

  close() {
    this.turn = (this.turn ?? 0) + 1;
    clearTimeout(this.timer);
    this.disconnect();
  }

  opened() {
    this.show("live", "Live");
    // Not at once: a service that accepts and hangs up would be asked again and again without a pause.
    this.timer = setTimeout(() => { this.failures = 0; }, 5000);
  }

  retry(told) {
    this.close();
    const wait = told ?? Math.min(30_000, 500 * 2 ** this.failures++) * (0.5 + Math.random() / 2);
    this.show("waiting", `Reconnecting in ${(wait / 1000).toFixed(1)} s`);
    this.timer = setTimeout(() => this.open(), wait);
  }

  show(state, text) {
    const shown = put(".state", text, this.panel);
    shown.dataset.state = this.state = state;
    put(".toggle", this.wanted ? "Disconnect" : "Connect", this.panel);
  }

  take(text) {
    const message = JSON.parse(text);
    this.cursor = message.id ?? message.cursor ?? this.cursor;
    if (!message.id) return;
    this.count += 1;
    this.last = message.id;
    this.texts = [...this.texts.slice(1 - MOST_SHOWN), text];
    this.fresh = [...this.fresh.slice(1 - MOST_SHOWN), message];
    this.view.redraw();
  }

  draw() {
    const list = find(".events", this.panel);
    list.prepend(...this.fresh.reverse().map((message) => rawRow(message, this.view)));
    while (list.children.length > MOST_SHOWN) list.lastElementChild.remove();
    this.fresh = [];
    put(".count", String(this.count), this.panel);
    put(".last", this.last, this.panel);
  }
}

class RawEventSource extends Raw {
  connect(url) {
    const source = this.source = new EventSource(url);
    for (const name of NAMES) source.addEventListener(name, ({ data }) => this.take(data));
    source.onopen = () => this.opened();
    // It comes back by itself, unless it was answered with anything but 200; a ticket opens no second time.
    source.onerror = () => (source.readyState === EventSource.CLOSED || session.reads
      ? this.retry() : this.show("waiting", "Reconnecting"));
  }

  disconnect() { this.source?.close(); }
}

class RawWebSocket extends Raw {
  connect(url) {
    const socket = this.socket = new WebSocket(new URL(url, location).href.replace(/^http/, "ws"));
    let silent = false;
    socket.onopen = () => this.opened();
    socket.onmessage = ({ data }) => { silent = false; this.take(data); };
    socket.onclose = ({ reason }) => this.retry(/retry in (\d+) ms/.exec(reason)?.[1]);
    this.pulse = setInterval(() => {
      if (silent) return this.retry();
      silent = true;
      if (socket.readyState === WebSocket.OPEN) socket.send('{"type":"ping"}');
    }, 20_000);
  }

  disconnect() {
    clearInterval(this.pulse);
    if (!this.socket) return;
    this.socket.onopen = this.socket.onclose = this.socket.onmessage = null;
    this.socket.close();
  }
}

export class SideBySide {
  constructor(root) {
    Object.assign(this, { root, filter: {}, shown: false, turn: 0 });
    this.redraw = throttled(() => this.draw(), 50);
    this.feeds = [new RawEventSource("Server-Sent Events", "sse/streams", this), new RawWebSocket("WebSocket", "ws/streams", this)];
    find("#feeds", root).append(...this.feeds.map(({ panel }) => panel));
    find("#filter", root).oninput = ({ target }) => target.setCustomValidity("");
    find("#all", root).onclick = () => this.choose("");
    find("#filter-form", root).onsubmit = (event) => { event.preventDefault(); this.apply(); };
    addEventListener("visibilitychange", () => { if (this.shown) for (const feed of this.feeds) if (feed.wanted) feed.open(); });
    addEventListener("online", () => { for (const feed of this.feeds) if (feed.state === "waiting") feed.open(); });
  }

  /** The view is shown, or no longer: then nothing is connected. Shown again, both go on where they were. */
  show(shown) {
    if (shown === this.shown) return;
    this.shown = shown;
    this.turn += 1;
    if (shown && !this.feeds.every(({ cursor }) => cursor)) return this.follow();
    for (const feed of this.feeds) {
      if (!shown) feed.close();
      else if (feed.wanted) feed.open();
    }
  }

  /** Both start at the same place of the log, so they must show the same. */
  async follow() {
    const turn = this.turn += 1;
    try {
      const { log } = await call("GET", "health");
      if (turn === this.turn) for (const feed of this.feeds) feed.start(log.head);
      this.redraw();
    } catch { setTimeout(() => turn === this.turn && this.follow(), 1000 + Math.random() * 2000); }
  }

  choose(text) {
    const field = find("#filter", this.root);
    field.value = text;
    field.setCustomValidity("");
    find("#filter-form", this.root).requestSubmit();
  }

  async apply() {
    const field = find("#filter", this.root), text = field.value.trim();
    const wanted = text ? { [text.startsWith("stream-") ? "streamId" : "participant"]: text } : {};
    const problem = await call("GET", `api/events?${query({ ...wanted, limit: 1 })}`).then(() => "", (error) => error.message);
    field.setCustomValidity(problem);
    if (!field.reportValidity()) return;
    this.filter = wanted;
    this.follow();
  }

  draw() {
    for (const feed of this.feeds) feed.draw();
    const [one, two] = this.feeds, shown = find("#parity", this.root);
    const same = one.count === two.count && one.texts.join() === two.texts.join();
    shown.dataset.same = one.count || two.count ? same : "none";
    if (!same) put(shown, `${one.title} has ${events(one.count)}, ${two.title} ${two.count}: the one behind catches up as soon as it is live.`);
    else if (one.count) put(shown, `✓ Both feeds carry the same ${events(one.count)}, byte for byte, in the same order.`);
    else put(shown, "Both feeds carry the same events, byte for byte, in the same order.");
  }
}

function rawRow({ id, event, streamId, version, payload, changed, timestamp }, view) {
  const item = copy("#raw-event");
  item.dataset.event = event;
  item.dataset.id = id;
  put(".name", event, item);
  put(".stream", short(streamId), item).onclick = () => view.choose(streamId);
  find(".stream", item).title = `Follow only ${streamId}`;
  put(".version", `v${version}`, item);
  put("time", clock(timestamp), item).dateTime = timestamp;
  put(".status", payload.status, item).dataset.status = payload.status;
  put(".amounts", `${payload.streamedAmount} of ${payload.depositAmount}`, item);
  put(".changed", changed.length ? `changed ${changed.join(", ")}` : `${payload.ratePerSecond} per second`, item);
  put(".id", id, item);
  return item;
}
