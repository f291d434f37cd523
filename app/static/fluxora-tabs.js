/** Loaded by fluxora-streams.js where tabs can share a connection (Web Locks and BroadcastChannel). */
import { Line, matches, sleep } from "./fluxora-streams.js";

const PATIENCE = 20_000, ANSWER = 5000;
const OF_SERVICE = /^(service\.|feed\.reset|error)/;
const page = globalThis.document;
const random = () => Math.random().toString(36).slice(2);

function united(filters) {
  const distinct = [...new Map(filters.map((each) => [JSON.stringify(each), each])).values()];
  return distinct.some((each) => !Object.keys(each).length) ? [{}] : distinct;
}

/** Whether what passes these filters has all that this one wants. */
function cover(filters, wanted) {
  return filters.some((each) => Object.entries(each).every(([field, values]) =>
    field in wanted && [wanted[field]].flat().every((value) => [values].flat().includes(value))));
}

/** One line for all tabs. Who has the lock owns it; the others hear of it, and fetch what they missed from the log. */
export class Share {
  constructor(feed, name) {
    Object.assign(this, { feed, name, id: random(), skip: new Set(), turn: 0, heardAt: Date.now() });
    this.nudge = () => this.check();
    this.stopped = new Promise((done) => { this.release = done; });
  }

  start() {
    this.abort = new AbortController();
    this.channel = new BroadcastChannel(this.name);
    this.channel.onmessage = ({ data }) => this.hear(data);
    // Held as long as this tab lives: so the owner learns that it is gone, however it went. Who joins before it is held
    // would be gone at once.
    navigator.locks.request(`${this.name} ${this.id}`, () => {
      this.present = true;
      this.join();
      return this.stopped;
    });
    this.pulse = setInterval(() => this.check(), 1000);
    page?.addEventListener("visibilitychange", this.nudge);
    this.compete({ signal: this.abort.signal });
  }

  stop() {
    clearInterval(this.pulse);
    page?.removeEventListener("visibilitychange", this.nudge);
    this.turn += 1;
    this.disown();
    this.abort.abort();
    this.release();
    this.channel.close();
    this.over = true;
  }

  pause() { this.paused = true; this.turn += 1; }
  resume() { this.paused = false; this.join(); }
  reconnect() { this.line ? this.line.reconnect() : this.post({ type: "reconnect" }); }

  async compete(options) {
    try {
      await navigator.locks.request(this.name, options, () => this.own());
    } catch {
      // Stopped, or another tab took it from us because we seemed dead.
      this.disown();
      if (this.over) return;
      this.compete({ signal: this.abort.signal });
      this.join();
    }
  }

  post(message) { if (!this.over) this.channel.postMessage(message); }

  /** Tell all tabs, this one among them. */
  tell(message) {
    const marked = { ...message, term: this.term };
    this.post(marked);
    this.hear(marked);
  }

  join() {
    this.chain = undefined;
    if (!this.present) return;
    const message = { type: "join", id: this.id, filter: this.feed.filter };
    this.line ? this.hear(message) : this.post(message);
  }

  async own() {
    if (this.over) return;
    const { feed } = this;
    const term = this.term = random();
    this.members = new Map([[this.id, feed.filter]]);
    this.turn += 1;
    this.line = new Line(feed.base, feed.options, feed.stats, feed.position, (kind, message, to) => this.said(kind, message, to));
    this.post({ type: "who", term });
    await sleep(100); // The others say what they want, so that one subscription does for all.
    if (this.term !== term || !this.line) return;
    this.line.filters = united([...this.members.values()]);
    this.line.start();
    await Promise.race([this.stopped, new Promise((done) => { this.lose = done; })]);
  }

  disown() {
    this.line?.stop();
    this.line = undefined;
    this.lose?.();
  }

  said(kind, message, to) {
    if (kind === "state") {
      this.state = message;
      this.tell({ type: "state", state: message });
      if (message.name === "live") this.hello();
      return;
    }
    const { told } = this;
    this.told = to;
    const quiet = !message.id && !OF_SERVICE.test(message.event);
    if (!quiet || told !== to) this.tell({ type: "item", from: told, to, message: quiet ? {} : message });
  }

  hello() {
    this.told = this.line.cursor;
    this.tell({ type: "hello", cursor: this.told, filters: this.line.link.filters, state: this.state });
  }

  hear(data) {
    if (data.type === "join" || data.type === "ask" || data.type === "reconnect") return this.line && this.answer(data);
    if (this.line && data.term !== this.term) return; // One who owned it and does not know better yet.
    this.heardAt = Date.now();
    this.asked = undefined;
    if (data.type === "who") { this.term = data.term; return this.join(); }
    if (data.type === "hello") { this.term = data.term; return this.paused || this.greeted(data); }
    if (data.term !== this.term || this.paused) return;
    // A line is live before this tab's filter is part of it, and before this tab has what it missed.
    if (data.type === "state" && (data.state.name !== "live" || (this.chain !== undefined && !this.buffer))) this.became(data.state);
    if (data.type !== "item") return;
    if (this.buffer) return this.buffer.push(data);
    if (this.chain === undefined) return;
    if (data.from !== this.chain) return this.join();
    this.apply(data);
  }

  became(state) { this.feed.took("state", { ...state, shared: true, owner: !!this.line }); }

  /** The line carries these filters now. Until this tab's is among them, what it wants may pass by unseen. */
  greeted({ cursor, filters, state }) {
    if (cover(filters, this.feed.filter)) return this.sync(cursor, state);
    if (this.chain !== undefined) this.join();
  }

  answer({ type, id, filter }) {
    if (type === "ask") return this.post({ type: "here", term: this.term });
    if (type === "reconnect") return this.line.reconnect();
    if (!this.members.has(id)) navigator.locks.request(`${this.name} ${id}`, () => this.member(id));
    this.member(id, filter);
    if (this.line.link?.synced) this.hello();
  }

  member(id, filter) {
    filter ? this.members.set(id, filter) : this.members.delete(id);
    if (!this.line) return;
    const filters = united([...this.members.values()]);
    if (JSON.stringify(filters) === JSON.stringify(this.line.filters)) return;
    this.line.setFilters(filters);
  }

  /** The shared line is at `cursor`; this tab may be before or after it. */
  async sync(cursor, state) {
    const { feed } = this;
    if (this.chain === cursor && !this.buffer) return this.became(state);
    const turn = ++this.turn;
    this.buffer = [];
    this.chain = cursor;
    if (feed.position === undefined) feed.took("message", {}, cursor);
    if (feed.position !== cursor) {
      try {
        await this.catchUp(cursor, () => turn === this.turn);
      } catch (error) {
        if (turn !== this.turn) return;
        if (error.status !== 410 && error.status !== 400) {
          feed.took("state", { name: "connecting", reason: `catching up: ${error.message}`, shared: true });
          await sleep(1000 * (1 + Math.random()));
          return turn === this.turn && this.join();
        }
        feed.took("message", { event: "feed.reset", reason: error.message, cursor, timestamp: new Date().toISOString() }, cursor);
      }
    }
    if (turn !== this.turn) return;
    const early = this.buffer;
    this.buffer = undefined;
    for (const item of early) this.apply(item);
    this.became(state);
  }

  /** Cursors have no order that a client can see: what follows each, by the log, tells which is ahead. */
  async catchUp(cursor, current) {
    const skip = new Set();
    this.skip = new Set();
    for await (const { events } of this.feed.walk(cursor)) for (const each of events) skip.add(each.id);
    for await (const { events, cursor: to } of this.feed.walk(this.feed.position)) {
      if (!current()) return;
      for (const each of events) {
        skip.add(each.id);
        this.feed.took("event", each, each.id);
      }
      this.feed.took("message", {}, to);
    }
    this.skip = skip;
  }

  apply({ message, to }) {
    const { feed, skip } = this;
    this.chain = to;
    if (skip.has(message.id)) return;
    const wanted = message.id && matches(feed.filter, message);
    if (wanted || message.event === "feed.reset") skip.clear();
    // As long as the line may be behind what was fetched, it does not take the tab's position back.
    const position = skip.size ? feed.position : to;
    if (wanted) feed.took("event", message, position);
    else feed.took("message", message.id ? {} : message, position);
  }

  check() {
    if (this.line || page?.visibilityState === "hidden") return;
    const now = Date.now();
    if (this.asked && now - this.asked > ANSWER) {
      this.asked = this.heardAt = undefined;
      this.compete({ steal: true });
    } else if (!this.asked && now - this.heardAt > PATIENCE) {
      this.asked = now;
      this.post({ type: "ask" });
    }
  }
}

/** Whom the token is for: its claims without times, else its hash. Tabs of different people share nothing. */
export async function principal(options) {
  if (options.principal !== undefined || !options.getToken) return options.principal ?? "";
  const token = (await options.getToken({})) ?? "";
  let whom = token;
  try {
    const { exp, iat, nbf, jti, ...claims } = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    whom = JSON.stringify(claims);
  } catch { /* no JWT */ }
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(whom));
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
