/** The feed of fluxora-streams for browsers and Node 20+. Types and words: fluxora-streams.d.ts, docs/reference. */
import { list, Streams, superset } from "./fluxora-state.js";

export { accrued, matches } from "./fluxora-state.js";

const LONGEST_WAIT = 30_000, STABLE = 5000, DIAL = 5000, LONGEST_PAUSE = 3_600_000, SSE_PAUSE = 600_000;
const MOST_BYTES = 4000; // The service takes 4,096 in a message,
const MOST_MESSAGES = 8, WINDOW = 10_500; // and 10 of them in 10 s.
const MOST_FILTERS = 20;
const OF_SERVICE = /^(service\.|feed\.reset|error)/;
const FINAL_CODES = new Set([1002, 1003, 1007, 1008, 1009, 1010]);
const PASSING_STATUSES = new Set([408, 425, 429]);

export const isFinal = (status) => status >= 400 && status < 500 && !PASSING_STATUSES.has(status);
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const page = globalThis.document;

export class FeedError extends Error {
  constructor(reason, details = {}) {
    super(reason);
    Object.assign(this, details);
    this.name = "FeedError";
  }
}

function address(base, path, fields) {
  const url = new URL(path, base);
  url.search = base.search;
  for (const [name, value] of Object.entries(fields)) for (const each of list(value)) url.searchParams.append(name, each);
  return url;
}

export async function ask(url, token, more) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(url, { cache: "no-store", headers, ...more });
  if (response.status === 200) return response;
  const problem = await response.json().catch(() => ({}));
  const after = response.headers.get("Retry-After");
  const ms = after === null ? NaN : /^\d+$/.test(after) ? after * 1000 : Date.parse(after) - Date.now();
  throw new FeedError(problem.detail ?? problem.title ?? `the service answered ${response.status}`, {
    status: response.status,
    problem,
    told: ms >= 0 ? ms * (1 + Math.random() / 2) : undefined,
  });
}

// ---- The two transports. A link tells its line `opened`, `take` and `ended`, and nothing after `close`.

function webSocketLink(line, token) {
  const link = { kind: "websocket", pending: 0, sent: [], heardAt: Date.now(), filters: line.filters };
  const inUrl = line.subscription().length > MOST_BYTES;
  const url = line.url("ws/streams", inUrl);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url.href, token ? ["fluxora.v1", `bearer.${token}`] : []);
  const end = (why) => { link.close(); line.ended(link, why); };
  let timer = setTimeout(end, DIAL, { reason: "the WebSocket did not open in time" });
  link.close = () => {
    clearTimeout(timer);
    clearTimeout(link.timer);
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    socket.close();
  };
  link.send = (text) => {
    if (socket.readyState !== 1 || text.length > MOST_BYTES) return false;
    link.sent = [...link.sent, Date.now()].slice(-MOST_MESSAGES);
    socket.send(text);
    return true;
  };
  /** Ask for the events from the line's cursor on. What comes before the answer is sent again after it. */
  link.subscribe = () => {
    const text = line.subscription();
    link.due = false;
    if (inUrl || text.length > MOST_BYTES) return false;
    link.synced = false;
    link.filters = line.filters;
    link.pending += 1;
    clearTimeout(timer);
    timer = setTimeout(end, DIAL, { reason: "the WebSocket opened and stayed silent" });
    return link.send(text);
  };
  /** The same, soon: changes go together, and not more often than the service allows. Until then the old filters hold. */
  link.resubscribe = () => {
    if (!link.due) link.timer = setTimeout(() => link.subscribe() || line.dial(), Math.max(50, link.room() - Date.now()));
    return link.due = true;
  };
  link.room = () => (link.sent.length < MOST_MESSAGES ? 0 : link.sent[0] + WINDOW);
  socket.onopen = () => {
    clearTimeout(timer);
    line.opened(link);
    if (inUrl || !link.subscribe()) line.live(link);
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    line.stats.bytes += data.length;
    link.heardAt = Date.now();
    if (message.event === "subscribed" || message.event === "feed.reset") {
      link.pending = message.event === "subscribed" ? Math.max(0, link.pending - 1) : 0;
      if (!link.pending) clearTimeout(timer);
      if (message.event === "feed.reset" || line.cursor === undefined) line.take(link, message);
      if (!link.pending && !link.synced) line.live(link);
    } else if (link.synced || !(message.id || message.cursor)) line.take(link, message);
  };
  socket.onclose = ({ code, reason }) => {
    const told = /retry in (\d+) ms/.exec(reason)?.[1];
    end({ code, reason: reason || `the WebSocket ended (${code})`, told: told && Number(told) });
  };
  return link;
}

function sseLink(line, token) {
  const abort = new AbortController();
  // The greeting comes at once: a proxy that holds it back would hold the events back, too.
  const late = setTimeout(() => {
    link.silent = true;
    abort.abort(new FeedError("SSE stayed silent"));
  }, Math.min(4 * DIAL, line.options.silence ?? 4 * DIAL));
  const close = () => { clearTimeout(late); abort.abort(); };
  const link = { kind: "sse", heardAt: Date.now(), filters: line.filters, close };
  let told, block = {}, rest = "";
  const dispatch = () => {
    const { id, retry, data } = block;
    const message = data === undefined ? {} : JSON.parse(data.join("\n"));
    // Before anything else, `retry` is the service's pace; later it says when to come back from an end.
    if (retry && (message.event === "feed.opened" || (id && !data))) line.pace = retry;
    else if (retry) told = retry;
    if (id) message[message.id ? "id" : "cursor"] = id;
    block = {};
    line.take(link, message);
  };
  const read = (line) => {
    if (!line) return dispatch();
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "data") (block.data ??= []).push(value);
    else if (field === "id" && !value.includes("\0")) block.id = value;
    else if (field === "retry" && /^\d+$/.test(value)) block.retry = Number(value);
  };
  const run = async () => {
    const signal = abort.signal, headers = { Accept: "text/event-stream" };
    if (token) headers.Authorization = `Bearer ${token}`;
    const response = await ask(line.url("sse/streams", true), token, { signal, headers });
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new FeedError("the answer is no feed");
    link.heardAt = Date.now();
    const decoder = new TextDecoder();
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (signal.aborted) return;
      clearTimeout(late);
      if (done) throw new FeedError(link.closing ?? "the service ended the feed");
      link.heardAt = Date.now();
      line.stats.bytes += value.length;
      // A CR at the end may be the half of a CRLF: it waits for what follows.
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      lines.forEach(read);
      if (!link.synced) line.live(link);
    }
  };
  run().catch(({ message, status, told: after }) => {
    clearTimeout(late);
    if (line.link === link) line.ended(link, { reason: message, status, told: after ?? told });
  });
  return link;
}

/** A connection that comes back: one cursor, whatever carries it. */
export class Line {
  constructor(base, options, stats, cursor, say) {
    Object.assign(this, { base, options, stats, cursor, say, filters: [options.filter], failures: 0, turn: 0 });
    Object.assign(this, { pace: 1000, socketAt: 0, socketPause: options.retrySocket ?? 60_000, sseAt: 0, ssePause: SSE_PAUSE, ticked: Date.now() });
    this.nudge = this.nudge.bind(this);
  }

  start() {
    this.pulse = setInterval(() => this.check(), 1000);
    for (const name of ["online", "pageshow"]) globalThis.addEventListener?.(name, this.nudge);
    page?.addEventListener("visibilitychange", this.nudge);
    this.dial();
  }

  stop() {
    clearInterval(this.pulse);
    for (const name of ["online", "pageshow"]) globalThis.removeEventListener?.(name, this.nudge);
    page?.removeEventListener("visibilitychange", this.nudge);
    this.hangUp();
  }

  hangUp() {
    this.turn += 1;
    clearTimeout(this.timer);
    this.probe?.close();
    this.link?.close();
    this.link = this.probe = this.waiting = undefined;
  }

  pause() { this.hangUp(); this.state("waiting", "the reader is behind; the feed goes on when it has caught up"); }
  resume() { this.dial(); }
  reconnect() { this.refused = this.refusals = undefined; this.dial(); }

  url(path, resume) {
    return address(this.base, path, { ...superset(this.filters), ...(resume && { lastEventId: this.cursor }) });
  }

  subscription() {
    const filters = this.filters.length > MOST_FILTERS ? [superset(this.filters)] : this.filters;
    const wanted = filters.length > 1 ? { filters } : { filter: filters[0] };
    return JSON.stringify({ type: "subscribe", ...wanted, lastEventId: this.cursor });
  }

  setFilters(filters) {
    this.filters = filters;
    if (this.link && !(this.link.synced !== undefined && this.link.resubscribe?.())) this.dial();
  }

  state(name, reason, more) { this.say("state", { name, reason, transport: this.link?.kind, ...more }); }

  async token(why) {
    if (!this.options.getToken) return undefined;
    let timer;
    const late = new Promise((_, fail) => { timer = setTimeout(fail, LONGEST_WAIT, new Error("it did not come in time")); });
    try {
      return await Promise.race([this.options.getToken(why), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  may(transport) { return this.options.transports?.includes(transport) ?? true; }
  get canSocket() { return !!globalThis.WebSocket && this.may("websocket"); }

  async dial() {
    this.hangUp();
    const turn = this.turn;
    this.state("connecting", "dialling");
    let token;
    try {
      token = await this.token({ refused: this.refused });
    } catch (error) {
      if (turn === this.turn) this.wait(`no token: ${error.message}`);
      return;
    }
    const socket = this.canSocket && (Date.now() >= this.socketAt || this.options.transports?.length === 1);
    const polls = !socket && Date.now() < this.sseAt && await import("./fluxora-poll.js").catch(() => {});
    if (turn !== this.turn) return;
    if (this.refusals && token === this.refused) return this.refuse("the token was refused, and there is no new one");
    this.used = token;
    this.stats.dials += 1;
    try {
      this.link = (socket ? webSocketLink : polls ? polls.pollLink : sseLink)(this, token);
    } catch {
      this.socketAt = Date.now() + this.socketPause; // A token that cannot stand in a subprotocol, a policy of the page.
      this.link = sseLink(this, token);
    }
  }

  opened(link) {
    if (link !== this.probe) return;
    this.link.close();
    this.link = link;
    this.probe = undefined;
  }

  live(link) {
    link.liveAt ??= Date.now();
    link.synced = true;
    if (link.kind === "websocket") this.socketPause = this.options.retrySocket ?? 60_000;
    else if (link.kind === "sse") this.ssePause = SSE_PAUSE;
    if (link.kind !== "websocket") this.socketAt = Math.max(this.socketAt, Date.now());
    this.refusals = 0;
    this.state("live", link.words ?? (link.kind === "sse" && this.canSocket ? "over SSE: a WebSocket did not get through" : "connected"));
  }

  take(link, message) {
    const { event } = message;
    this.cursor = message.id ?? message.cursor ?? this.cursor;
    if (message.id) return this.say("event", message, this.cursor);
    if (event === "feed.reset") this.stats.resets += 1;
    if (event === "feed.closing") link.closing = message.reason;
    if (event === "session.expired") Object.assign(link, { expired: true, closing: "the session has expired" });
    if (event === "token.expiring") this.renew(link);
    this.say("message", message, this.cursor);
  }

  async renew(link) {
    const token = await this.token({ expiring: true }).catch(() => undefined);
    // On SSE, and for a token too long for a message, the next dial brings it.
    if (token && token !== this.used && link.send?.(JSON.stringify({ type: "auth", token }))) this.used = token;
  }

  ended(link, { reason, code, status, told }) {
    if (link === this.probe) return this.socketFailed();
    if (link !== this.link) return;
    const dialled = link.kind === "websocket" && !link.liveAt;
    this.link = undefined;
    if (code === 4001 || status === 401) return this.refuse(reason);
    if (status === 400 && this.filters.length > 1) return this.setFilters([{}]), this.dial(); // One tab's mistake is not all tabs'.
    if (FINAL_CODES.has(code) || isFinal(status))
      return this.final(reason, { code, status });
    const renewed = (code === 4003 || link.expired) && !this.failures;
    if (link.kind === "websocket" && (dialled || !link.synced) && this.options.transports?.length !== 1) {
      this.socketFailed();
      return this.dial();
    }
    if (link.silent && this.may("poll")) {
      this.sseAt = Date.now() + this.ssePause;
      this.ssePause = Math.min(LONGEST_PAUSE, this.ssePause * 2);
      return this.dial();
    }
    // Nobody answers at all: that says nothing about the transports.
    if (link.kind !== "websocket" && !link.liveAt && !status) this.socketAt = this.sseAt = 0;
    this.wait(reason, renewed ? 0 : told);
  }

  socketFailed() {
    this.probe = undefined;
    this.socketAt = Date.now() + this.socketPause;
    this.socketPause = Math.min(LONGEST_PAUSE, this.socketPause * 2);
  }

  refuse(reason) {
    this.refusals = (this.refusals ?? 0) + 1;
    this.refused = this.used;
    if (this.refusals > 1 || !this.options.getToken) return this.final(reason, { status: 401 });
    this.dial();
  }

  final(reason, details) {
    this.hangUp();
    this.state("stopped", reason, details);
  }

  wait(reason, told) {
    this.hangUp();
    const jitter = Math.random() * Math.min(LONGEST_WAIT, this.pace * 2 ** this.failures++);
    const wait = Math.max(told ?? 0, told === undefined || this.failures > 3 ? jitter : 0);
    this.waiting = told ? "told" : "jitter";
    this.timer = setTimeout(() => this.dial(), wait);
    this.state("waiting", `${reason}; again in ${(wait / 1000).toFixed(1)} s`, { retryAt: Date.now() + wait });
  }

  /** Something woke: look whether the connection still lives; if there is none, dial, unless the service said when. */
  nudge({ type } = {}) {
    if (page?.visibilityState === "hidden") return;
    const { link, waiting } = this;
    if (waiting === "jitter" || (waiting && type === "online")) return this.dial();
    if (link?.synced) this.probeLife(link, type === "online" ? 2000 : 20_000);
  }

  probeLife(link, quiet) {
    const now = Date.now();
    if (link.kind !== "websocket") {
      if (now - link.heardAt > quiet) this.dead();
    } else if (!link.deadline && link.room() <= now && link.send('{"type":"ping"}')) {
      Object.assign(link, { pinged: now, deadline: now + (this.options.pong ?? DIAL) });
    }
  }

  dead() {
    this.say("state", { name: "connecting", reason: "nothing was heard for too long: a dead connection" });
    this.dial();
  }

  check() {
    const now = Date.now(), { link } = this, silence = this.options.silence ?? 25_000;
    const jumped = Math.abs(now - this.ticked) > 10_000;
    this.ticked = now;
    if (!link?.synced) return;
    if (link.heardAt > now) link.heardAt = now; // The clock was put back.
    if (now - link.liveAt > STABLE) this.failures = 0;
    if (link.deadline && link.heardAt >= link.pinged) link.deadline = undefined;
    if (link.deadline < now) return this.dead();
    if (jumped) this.nudge();
    if (this.link !== link) return;
    if (link.kind === "websocket" && now - link.heardAt > silence) this.probeLife(link);
    if (link.kind === "sse" && now - link.heardAt > silence * 1.8) return this.dead();
    if (link.kind !== "websocket" && this.canSocket && now >= this.socketAt && !this.probe) {
      try { this.probe = webSocketLink(this, this.used); } catch { this.socketFailed(); }
    }
  }
}

export class StreamFeed {
  #queue = []; #error; #wake; #reading = 0; #handled; #saving; #saved; #streams; #share; #source; #given;

  constructor(url, options = {}) {
    const base = new URL(url, globalThis.location?.href);
    base.protocol = base.protocol.replace(/^ws/, "http");
    base.pathname = base.pathname.replace(/(ws|sse)\/streams$/, "").replace(/\/?$/, "/");
    const { filter = {}, onEvent, onReset, onState, onService, onStreams } = options;
    Object.assign(this, { base, onEvent, onReset, onState, onService, onStreams, closed: false });
    this.filter = Object.fromEntries(Object.entries(filter).map(([name, value]) => [name, list(value)]).filter(([, values]) => values.length).sort());
    this.options = { ...options, filter: this.filter };
    this.stats = { events: 0, resets: 0, dials: 0, bytes: 0, latency: undefined, storeErrors: 0 };
    this.state = { name: "connecting", reason: "starting" };
    this.key = `fluxora ${base.href} ${JSON.stringify(this.filter)}`;
    this.position = this.#handled = options.lastEventId || undefined;
    this.#given = { hide: () => this.#hide(), show: (event) => event.persisted && this.#share && this.#begin() };
    globalThis.addEventListener?.("pagehide", this.#given.hide);
    globalThis.addEventListener?.("pageshow", this.#given.show);
    if (options.connect !== false) this.#start();
  }

  /** The cursor of what was handled: what to go on from in another life. */
  get lastEventId() { return this.#handled; }

  get streams() {
    this.#streams ??= new Streams(this, this.options.maxStreams ?? 10_000);
    this.#streams.ready.catch(({ message }) => this.took("state", { ...this.state, reason: `no snapshot: ${message}` }));
    this.#pump();
    return this.#streams;
  }

  close() {
    if (this.closed) return;
    globalThis.removeEventListener?.("pagehide", this.#given.hide);
    globalThis.removeEventListener?.("pageshow", this.#given.show);
    this.took("state", { name: "closed", reason: "closed by its owner" });
    this.closed = true;
    this.#source?.stop();
    this.#save(true);
    this.#wake?.();
  }

  /** Dial now, with a new token: after a sign-in, or to try what a cut does. */
  reconnect() {
    this.#error = undefined;
    this.#source?.reconnect();
  }

  async #start() {
    try {
      this.position ??= (await this.options.store?.load(this.key)) || undefined;
    } catch { this.stats.storeErrors += 1; }
    this.#handled ??= this.position;
    // The caller's turn is over: it has begun to read, or asked for the streams, if it wants them.
    await undefined;
    // A feed that starts with the snapshot follows from the snapshot's cursor.
    if (this.#streams && !this.position) await Promise.race([this.#streams.ready, sleep(2 * DIAL)]).catch(() => {});
    const { share = !!page } = this.options;
    try {
      if (share && navigator.locks && globalThis.BroadcastChannel) {
        const { Share, principal } = await import("./fluxora-tabs.js");
        const name = `fluxora ${this.base.href} ${await principal(this.options)}`;
        this.#share = () => new Share(this, name);
      }
    } catch { /* Then this tab has a connection of its own. */ }
    if (!this.closed) this.#begin();
  }

  #begin() {
    this.#source = this.#share?.()
      ?? new Line(this.base, this.options, this.stats, this.position, (...said) => this.took(...said));
    this.#source.start();
  }

  #hide() {
    this.#save(true);
    // A page that is kept for "back" would keep the lock and hear nothing.
    if (this.#share) this.#source?.stop();
  }

  async get(path, fields = {}) {
    const token = await this.options.getToken?.({});
    const response = await ask(address(this.base, path, fields), token);
    return { body: await response.json(), position: response.headers.get("Last-Event-ID") };
  }

  /** The log after a cursor, page by page, up to its head. */
  async *walk(after) {
    for (let more = true; more;) {
      const { body } = await this.get("api/events", { ...this.filter, after, limit: 1000 });
      yield body;
      more = body.events.length === 1000;
      after = body.cursor;
      while (this.full) await sleep(100);
    }
  }

  loaded(cursor) { if (!this.#source) this.took("message", {}, this.position ?? cursor ?? undefined); }

  /** What came, from a line or from another tab: an event, a message of the service, or the connection's state. */
  took(kind, message, to) {
    if (this.closed) return;
    if (kind === "state") return this.#became(message);
    this.position = to;
    if (kind === "event") {
      this.stats.events += 1;
      this.stats.latency = Date.now() - Date.parse(message.timestamp);
      this.#streams?.take(message.payload);
    } else if (message.event === "feed.reset") this.#streams?.reset();
    if (kind === "message" && !OF_SERVICE.test(message.event)) {
      const last = this.#queue.at(-1);
      if (last) last.to = to;
      else if (!this.#reading || this.idle) this.#done(to);
      else this.#queue.push({ to });
    } else this.#queue.push({ message, to });
    this.#pump();
    if (this.#queue.length > (this.options.buffer ?? 10_000) && !this.full) {
      this.full = true;
      this.#source?.pause();
    }
  }

  #became(state) {
    this.state = { ...state, since: Date.now() };
    if (state.name === "stopped") this.#error = new FeedError(state.reason, { status: state.status, code: state.code });
    this.#call(this.onState, this.state);
    this.#wake?.();
  }

  #pump() {
    this.#wake?.();
    if (this.#reading || !(this.onEvent || this.#streams)) return;
    while (this.#queue.length) this.#hand(this.#queue.shift());
  }

  #hand({ message, to }) {
    if (message?.id) this.#call(this.onEvent, message);
    else if (message) this.#call(message.event === "feed.reset" ? this.onReset : this.onService, message);
    this.#done(to);
  }

  #call(callback, value) {
    try {
      callback?.(value);
    } catch (error) {
      // The caller's mistake: told as one, and the feed goes on.
      if (globalThis.reportError) reportError(error); // browsers have it, Node has not
      else queueMicrotask(() => { throw error; });
    }
  }

  #done(to) {
    this.#handled = to ?? this.#handled;
    if (this.options.store) this.#saving ??= setTimeout(() => this.#save(), 200);
    if (this.full && this.#queue.length < (this.options.buffer ?? 10_000) / 2) {
      this.full = false;
      this.#source?.resume();
    }
  }

  async #save() {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    const cursor = this.#handled;
    if (!this.options.store || !cursor || cursor === this.#saved) return;
    try {
      this.#saved = cursor;
      await this.options.store.save(this.key, cursor);
    } catch { this.stats.storeErrors += 1; }
  }

  async *[Symbol.asyncIterator]() {
    this.#reading += 1;
    try {
      for (;;) {
        const entry = this.#queue.shift();
        if (entry?.message?.id) {
          this.idle = false;
          this.#call(this.onEvent, entry.message);
          yield entry.message;
          // Asked for the next: this one is handled.
          this.#done(entry.to);
        } else if (entry) this.#hand(entry);
        else if (this.closed) return;
        else if (this.#error) throw this.#error;
        else {
          this.idle = true;
          await new Promise((wake) => { this.#wake = wake; });
        }
      }
    } finally {
      this.#reading -= 1;
    }
  }
}

// ---- Where the cursor is kept: `load(key)` and `save(key, cursor)`, at once or as a promise.

export function memoryStore(entries = new Map()) {
  return { load: (key) => entries.get(key), save: (key, cursor) => { entries.set(key, cursor); } };
}

export function localStore(storage = globalThis.localStorage) {
  return { load: (key) => storage.getItem(key), save: (key, cursor) => storage.setItem(key, cursor) };
}

export function indexedStore(name = "fluxora") {
  const answer = (request) => new Promise((done, fail) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error);
  });
  const open = indexedDB.open(name, 1);
  open.onupgradeneeded = () => open.result.createObjectStore("cursors");
  const database = answer(open);
  database.catch(() => {});
  const within = async (mode, act) => answer(act((await database).transaction("cursors", mode).objectStore("cursors")));
  return {
    load: (key) => within("readonly", (cursors) => cursors.get(key)),
    save: (key, cursor) => within("readwrite", (cursors) => cursors.put(cursor, key)),
  };
}
