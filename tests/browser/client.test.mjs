/** The browser client under Node's own test runner: its pure parts, and its lines against scripted transports. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, test } from "node:test";

import {
  FeedError, StreamFeed, accrued, localStore, matches, memoryStore,
} from "../../app/static/fluxora-streams.js";
import { fakeFeed } from "../../app/static/fluxora-testing.js";

const realFetch = globalThis.fetch, realSocket = globalThis.WebSocket;
const feeds = [];
afterEach(() => {
  for (const feed of feeds.splice(0)) feed.close();
  globalThis.fetch = realFetch;
  globalThis.WebSocket = realSocket;
});

async function until(condition, what = condition) {
  for (let left = 2000; left; left -= 1) {
    if (condition()) return;
    await new Promise((done) => setTimeout(done, 2));
  }
  assert.fail(`did not come true: ${what}`);
}

function follow(options = {}) {
  const states = [], events = [], resets = [], services = [];
  const feed = new StreamFeed("http://feed.test/", {
    onState: (state) => states.push(state), onEvent: (event) => events.push(event.id),
    onReset: (reset) => resets.push(reset), onService: (message) => services.push(message.event), ...options,
  });
  feeds.push(feed);
  return Object.assign(feed, { seen: states, got: events, resets, services });
}

const event = (id, payload = {}) => ({
  id, event: "stream.updated", streamId: "s", version: 2, payload: { id: "s", version: 2, ...payload }, changed: [],
  timestamp: "2026-01-01T00:00:00.000Z",
});
const block = (message, id = message.id) =>
  `${id ? `id: ${id}\n` : ""}event: ${message.event}\ndata: ${JSON.stringify(message)}\n\n`;

/** Answers of `/sse/streams`, one a dial: a status, or the pieces of a body; "hold" keeps it open. */
function scriptSse(...answers) {
  const dials = [];
  globalThis.WebSocket = undefined;
  globalThis.fetch = async (url, { headers = {}, signal } = {}) => {
    dials.push({ url: new URL(url), headers, at: Date.now() });
    const answer = answers.shift() ?? ["hold"];
    if (answer instanceof Error) throw answer;
    if (answer instanceof Response) return answer;
    const body = new ReadableStream({
      start(control) {
        signal?.addEventListener("abort", () => { try { control.error(signal.reason); } catch { /* it has ended */ } });
        for (const piece of answer) if (piece !== "hold") control.enqueue(typeof piece === "string" ? new TextEncoder().encode(piece) : piece);
        if (!answer.includes("hold")) control.close();
      },
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream; charset=utf-8" } });
  };
  return dials;
}

const problem = (status, headers = {}) =>
  new Response(JSON.stringify({ title: "no", detail: `refused with ${status}` }), { status, headers });

/** A WebSocket whose other end is the test. */
function scriptSockets(react) {
  const sockets = [];
  globalThis.WebSocket = class {
    readyState = 0;
    said = [];
    constructor(url, protocols) {
      Object.assign(this, { url: new URL(url), protocols });
      sockets.push(this);
      queueMicrotask(() => react?.(this, sockets.length));
    }
    open() { this.readyState = 1; this.onopen?.(); }
    say(message) { this.onmessage?.({ data: JSON.stringify(message) }); }
    end(code, reason = "") { this.readyState = 3; this.onclose?.({ code, reason }); }
    close() { this.readyState = 3; this.closed = true; }
    send(text) {
      const message = JSON.parse(text);
      this.said.push(message);
      if (message.type === "subscribe" && !this.mute)
        queueMicrotask(() => this.say({ event: "subscribed", filter: {}, cursor: message.lastEventId ?? "e-100" }));
    }
  };
  return sockets;
}

// ---- Amounts

const { vectors } = JSON.parse(readFileSync(new URL("../data/chain/accrual_vectors.json", import.meta.url)));
const AMOUNTS = { rate: "ratePerSecond", deposit: "deposit", checkpoint: "checkpoint" };
const TIMES = { cliff: "cliffTime", end: "endTime", checkpoint_at: "checkpointAt" };

test("there are 78 vectors", () => assert.equal(vectors.length, 78));
for (const { id, in: given, out } of vectors)
  test(`accrued: ${id}`, () => {
    const base = Object.fromEntries([...Object.entries(AMOUNTS), ...Object.entries(TIMES)].map(([from, to]) => [to, given[from]]));
    const stream = { chainStreamId: "1", kind: given.kind, status: "active", startTime: 0, base };
    assert.equal(accrued(stream, BigInt(given.now)), BigInt(out));
  });

test("accrued: by status, and for a stream that did not come from the chain", () => {
  const seed = { depositAmount: "1000.5", ratePerSecond: "0.5", startTime: 1000, endTime: 0, status: "active" };
  assert.equal(accrued(seed, 1010), 50_000_000n);
  assert.equal(accrued(seed, new Date(1_010_999)), 50_000_000n);
  assert.equal(accrued(seed, 10 ** 9), 10_005_000_000n);
  assert.equal(accrued({ ...seed, endTime: 1004 }, 1010), 20_000_000n);
  assert.equal(accrued({ ...seed, status: "paused" }, 1010), 50_000_000n);
  assert.equal(accrued({ ...seed, status: "completed" }, 1001), 10_005_000_000n);
  assert.equal(accrued({ ...seed, status: "cancelled", cancelledAt: 1002 }, 1010), 10_000_000n);
  assert.equal(accrued({ ...seed, status: "cancelled", streamedAmount: "0.75" }, 1010), 7_500_000n);
});

// ---- Filters

test("a filter is OR within a field and AND across", () => {
  const one = { ...event("e-1", { sender: "A", recipient: "B", contractId: "C" }), cause: "withdrawn" };
  for (const filter of [{}, { sender: ["A", "X"] }, { sender: "A", recipient: "B" }, { participant: ["B"] }, { event: "stream.updated" },
    { cause: ["withdrawn"] }, { contractId: ["C"] }, { streamId: ["s"] }]) assert.ok(matches(filter, one), JSON.stringify(filter));
  for (const filter of [{ sender: ["B"] }, { sender: ["A"], recipient: ["A"] }, { participant: ["C"] }, { cause: ["paused"] }])
    assert.ok(!matches(filter, one), JSON.stringify(filter));
  assert.ok(matches({ recipient: ["old"] }, { ...one, cause: "recipient_changed", detail: { from: "old", to: "B" } }));
});

// ---- SSE

test("bytes may be cut anywhere, lines end in three ways, and text is UTF-8", async () => {
  const text = ":hello\r\n\r\nid: e-1\r\nevent: x\rdata: " + JSON.stringify(event("e-1", { memo: "zwölf €😀" })) + "\n\n"
    + "id:e-2\ndata:" + JSON.stringify(event("e-2")) + "\r\n\r\nid: e-3\ndata: {\"cut\":";
  const bytes = [...new TextEncoder().encode(text)].map((byte) => Uint8Array.of(byte));
  const dials = scriptSse(bytes);
  const feed = follow();
  await until(() => dials.length === 2);
  assert.deepEqual(feed.got, ["e-1", "e-2"]);
  assert.equal(dials[1].url.searchParams.get("lastEventId"), "e-2");
});

test("both forms of the opening tell the cursor, and the pace", async () => {
  for (const opening of ["retry: 3\n: connected\nid: e-7\n\n", `retry: 3\n${block({ event: "feed.opened", cursor: "e-7", filter: {}, timestamp: "" }, "e-7")}`]) {
    const dials = scriptSse([opening]);
    const feed = follow();
    await until(() => dials.length === 2);
    assert.equal(dials[1].url.searchParams.get("lastEventId"), "e-7");
    assert.ok(dials[1].at - dials[0].at < 500);
    feed.close();
  }
});

test("the service says when to come back", async () => {
  const closing = { event: "feed.closing", reason: "service restart", cursor: "e-9", timestamp: "" };
  for (const goodbye of ["retry: 150\n\n", `retry: 150\n${block(closing, "e-9")}`]) {
    const dials = scriptSse(["retry: 60000\nid: e-9\n\n", goodbye]);
    const feed = follow();
    await until(() => dials.length === 2);
    assert.ok(dials[1].at - dials[0].at >= 145, `${dials[1].at - dials[0].at} ms`);
    assert.equal(dials[1].url.searchParams.get("lastEventId"), "e-9");
    feed.close();
  }
});

test("a position moves the cursor without an event", async () => {
  const dials = scriptSse(["retry: 1\nid: e-1\n\n", "id: e-5\n\n", block({ event: "feed.position", cursor: "e-6" }, "e-6")]);
  const feed = follow();
  await until(() => dials.length === 2);
  assert.equal(dials[1].url.searchParams.get("lastEventId"), "e-6");
  assert.equal(feed.lastEventId, "e-6");
  assert.deepEqual(feed.got, []);
});

test("passing statuses pass: 503 and 429 with Retry-After, and no answer at all", async () => {
  const dials = scriptSse(problem(503, { "Retry-After": "0" }), problem(429, { "Retry-After": "0" }), ["retry: 1\nid: e-1\n\n", "hold"]);
  const feed = follow();
  await until(() => feed.state.name === "live");
  assert.equal(dials.length, 3);
  assert.ok(feed.seen.some(({ name, reason }) => name === "waiting" && reason.includes("refused with 503")));
});

for (const status of [400, 403, 404, 421])
  test(`${status} is final, and the loop ends with the reason`, async () => {
    const dials = scriptSse(problem(status));
    const feed = follow({ onEvent: undefined });
    await assert.rejects(async () => { for await (const _ of feed); }, (error) => error instanceof FeedError && error.status === status && /refused/.test(error.message));
    assert.equal(feed.state.name, "stopped");
    assert.equal(dials.length, 1);
  });

test("a 401 asks once for another token; then it is final until reconnect()", async () => {
  let asked = 0;
  const dials = scriptSse(problem(401), problem(401), ["retry: 1\nid: e-1\n\n", "hold"]);
  const feed = follow({ getToken: () => `token-${(asked += 1)}` });
  await until(() => feed.state.name === "stopped");
  assert.deepEqual(dials.map(({ headers }) => headers.Authorization), ["Bearer token-1", "Bearer token-2"]);
  await new Promise((done) => setTimeout(done, 50));
  assert.equal(asked, 2);
  feed.reconnect();
  await until(() => feed.state.name === "live");
  assert.equal(dials[2].headers.Authorization, "Bearer token-3");
});

test("the same token again is not even tried", async () => {
  const dials = scriptSse(problem(401));
  const feed = follow({ getToken: () => "always the same" });
  await until(() => feed.state.name === "stopped");
  assert.equal(dials.length, 1);
});

test("a session that expired on SSE comes back at once with a new token", async () => {
  let asked = 0;
  const expired = block({ event: "session.expired", cursor: "e-2", timestamp: "" }, "e-2");
  const dials = scriptSse(["retry: 60000\nid: e-1\n\n", expired], ["hold"]);
  follow({ getToken: () => `token-${(asked += 1)}` });
  await until(() => dials.length === 2);
  assert.equal(dials[1].headers.Authorization, "Bearer token-2");
  assert.equal(dials[1].url.searchParams.get("lastEventId"), "e-2");
});

test("getToken that fails is tried again", async () => {
  let asked = 0;
  scriptSse(["retry: 1\nid: e-1\n\n", "hold"]);
  const feed = follow({ getToken: () => { if ((asked += 1) < 2) throw new Error("no network"); return "t"; } });
  await until(() => feed.state.name === "live");
  assert.ok(feed.seen.some(({ reason }) => reason.startsWith("no token: no network")));
});

// ---- WebSocket

test("a WebSocket subscribes from the cursor, and what came before the answer counts for nothing", async () => {
  const sockets = scriptSockets((socket, count) => {
    socket.mute = true;
    socket.open();
    if (count === 1) socket.say({ event: "feed.opened", cursor: "e-4", filter: {}, timestamp: "" });
    socket.say(event(`e-${count}1`));
    socket.say({ event: "subscribed", filter: {}, cursor: count === 1 ? "e-10" : "somewhere else" });
    socket.say(event(`e-${count}2`));
    if (count === 1) socket.end(1012, "service restart; retry in 5 ms");
  });
  const feed = follow({ filter: { sender: "A" } });
  await until(() => sockets.length === 2);
  assert.deepEqual(sockets[0].said, [{ type: "subscribe", filter: { sender: ["A"] } }]);
  assert.deepEqual(sockets[1].said, [{ type: "subscribe", filter: { sender: ["A"] }, lastEventId: "e-12" }]);
  assert.equal(sockets[0].url.search, "?sender=A");
  await until(() => feed.got.length === 2);
  assert.deepEqual(feed.got, ["e-12", "e-22"]);
});

test("a filter too long for a message goes in the URL", async () => {
  const sockets = scriptSockets((socket) => { socket.open(); });
  const feed = follow({ filter: { streamId: Array.from({ length: 60 }, (_, n) => `stream-${"0".repeat(64)}-${n}`) }, lastEventId: "e-3" });
  await until(() => feed.state.name === "live");
  assert.deepEqual(sockets[0].said, []);
  assert.equal(sockets[0].url.searchParams.get("lastEventId"), "e-3");
  assert.equal(sockets[0].url.searchParams.getAll("streamId").length, 60);
  sockets[0].say({ event: "feed.opened", cursor: "e-3", filter: {}, timestamp: "" });
  sockets[0].say(event("e-4"));
  assert.deepEqual(feed.got, ["e-4"]);
});

test("the token goes as a subprotocol; token.expiring is answered with a new one; 4003 renews", async () => {
  let asked = 0;
  const sockets = scriptSockets((socket) => socket.open());
  const feed = follow({ getToken: () => `t${(asked += 1)}` });
  await until(() => feed.state.name === "live");
  assert.deepEqual(sockets[0].protocols, ["fluxora.v1", "bearer.t1"]);
  sockets[0].say({ event: "token.expiring", expiresAt: "2026-01-01T00:00:00Z" });
  await until(() => sockets[0].said.length === 2);
  assert.deepEqual(sockets[0].said[1], { type: "auth", token: "t2" });
  sockets[0].say({ event: "authorized", expiresAt: "2026-01-01T00:00:00Z" });
  sockets[0].end(4003, "expired; renew");
  await until(() => sockets.length === 2);
  assert.deepEqual(sockets[1].protocols, ["fluxora.v1", "bearer.t3"]);
});

test("4001 is final until a new token", async () => {
  const sockets = scriptSockets((socket) => { socket.open(); });
  const feed = follow({ getToken: () => "same" });
  await until(() => feed.state.name === "live");
  sockets[0].end(4001, "revoked");
  await until(() => feed.state.name === "stopped");
  assert.equal(sockets.length, 1);
  assert.match(feed.state.reason, /token was refused/);
});

for (const code of [1002, 1003, 1007, 1008, 1009])
  test(`close code ${code} is final`, async () => {
    const sockets = scriptSockets((socket) => socket.open());
    const feed = follow();
    await until(() => feed.state.name === "live");
    sockets[0].end(code, "so not");
    assert.equal(feed.state.name, "stopped");
    assert.equal(feed.state.code, code);
  });

for (const code of [1000, 1001, 1005, 1006, 1011, 1013, 4500])
  test(`close code ${code} passes`, async () => {
    const sockets = scriptSockets((socket) => socket.open());
    const feed = follow();
    await until(() => feed.state.name === "live");
    sockets[0].end(code);
    await until(() => sockets.length === 2 && feed.state.name === "live");
  });

test("one failed dial, and SSE carries on from the same cursor", async () => {
  const dials = scriptSse(["retry: 1\n: connected\n\n", block(event("e-2")), "hold"]);
  const sockets = scriptSockets((socket) => socket.end(1006));
  const feed = follow({ lastEventId: "e-1" });
  await until(() => feed.got.length === 1);
  assert.equal(sockets.length, 1);
  assert.equal(dials[0].url.searchParams.get("lastEventId"), "e-1");
  assert.equal(feed.state.transport, "sse");
});

test("a token that cannot stand in a subprotocol goes by SSE", async () => {
  const dials = scriptSse(["retry: 1\nid: e-1\n\n", "hold"]);
  globalThis.WebSocket = class { constructor() { throw new SyntaxError("bad protocol"); } };
  const feed = follow({ getToken: () => "with space" });
  await until(() => feed.state.name === "live");
  assert.equal(dials[0].headers.Authorization, "Bearer with space");
});

test("resets are told, and the feed goes on from their cursor", async () => {
  const sockets = scriptSockets((socket, count) => {
    socket.open();
    if (count > 1) return;
    queueMicrotask(() => queueMicrotask(() => {
      socket.say({ event: "feed.reset", reason: "pruned", cursor: "f-1", timestamp: "" });
      socket.say(event("f-2"));
      socket.end(1012, "retry in 1 ms");
    }));
  });
  const feed = follow({ lastEventId: "e-1" });
  await until(() => sockets.length === 2);
  assert.deepEqual(feed.resets.map(({ reason, cursor }) => [reason, cursor]), [["pruned", "f-1"]]);
  assert.deepEqual(feed.got, ["f-2"]);
  await until(() => sockets[1].said.length);
  assert.equal(sockets[1].said[0].lastEventId, "f-2");
});

test("messages it does not know move nothing and harm nothing", async () => {
  const sockets = scriptSockets((socket) => socket.open());
  const feed = follow();
  await until(() => feed.state.name === "live");
  sockets[0].say({ event: "something.new", more: 1 });
  sockets[0].say({ event: "service.degraded", reason: "chain", timestamp: "" });
  sockets[0].say(event("e-101"));
  assert.deepEqual(feed.got, ["e-101"]);
  assert.deepEqual(feed.services, ["service.degraded"]);
});

test("waits grow, are jittered, and stay under half a minute", async (t) => {
  const waits = [];
  const { setTimeout: soon } = globalThis;
  t.mock.method(globalThis, "setTimeout", (act, ms, ...more) => { waits.push(ms); return soon(act, ms < 20_000 || ms > 29_000 ? 0 : ms, ...more); });
  t.mock.method(Math, "random", () => 0.999);
  const dials = scriptSse(...Array.from({ length: 12 }, () => new TypeError("fetch failed")), ["hold"]);
  const feed = follow();
  while (dials.length < 12) await new Promise((done) => setImmediate(done));
  t.mock.restoreAll();
  feed.close();
  const backoff = waits.filter((ms) => ms > 0 && ms !== 20_000).slice(0, 10);
  assert.deepEqual(backoff.slice(0, 5).map((ms) => Math.round(ms / 1000)), [1, 2, 4, 8, 16]);
  assert.ok(Math.max(...backoff) <= 30_000);
});

// ---- Reading

test("the cursor is that of what was handled, not of what came", async () => {
  const store = memoryStore(), sockets = scriptSockets((socket) => socket.open());
  const feed = new StreamFeed("http://feed.test/", { store });
  feeds.push(feed);
  const seen = [];
  for await (const each of (queueMicrotask(() => until(() => feed.state.name === "live").then(() => {
    for (const id of ["e-101", "e-102", "e-103"]) sockets[0].say(event(id));
  })), feed)) {
    seen.push([each.id, feed.lastEventId]);
    if (seen.length === 3) break;
  }
  assert.deepEqual(seen, [["e-101", "e-100"], ["e-102", "e-101"], ["e-103", "e-102"]]);
  feed.close();
  assert.equal(store.load(feed.key), "e-102");
  const again = follow({ store });
  await until(() => sockets[1]?.said.length);
  assert.equal(sockets[1].said[0].lastEventId, "e-102");
  assert.equal(again.got.length, 0);
});

test("a reader that is behind pauses the feed, which goes on from where it stopped", async () => {
  const sockets = scriptSockets((socket) => socket.open());
  const feed = new StreamFeed("http://feed.test/", { buffer: 10 });
  feeds.push(feed);
  await until(() => feed.state.name === "live");
  for (let n = 1; n <= 20; n += 1) sockets[0].say(event(`e-${100 + n}`));
  assert.ok(sockets[0].closed);
  assert.match(feed.state.reason, /reader is behind/);
  const seen = [];
  for await (const each of feed) {
    seen.push(each.id);
    if (seen.length === 11) break;
  }
  await until(() => sockets[1]?.said.length);
  assert.equal(seen.at(-1), "e-111");
  assert.equal(sockets[1].said[0].lastEventId, "e-111");
});

test("a callback that throws is told, and the feed goes on", async () => {
  const sockets = scriptSockets((socket) => socket.open());
  const told = [];
  globalThis.reportError = (error) => told.push(error.message);
  const seen = [];
  const feed = follow({ onEvent: ({ id }) => { seen.push(id); if (id === "e-101") throw new Error("mine"); } });
  await until(() => feed.state.name === "live");
  sockets[0].say(event("e-101"));
  sockets[0].say(event("e-102"));
  assert.deepEqual(seen, ["e-101", "e-102"]);
  await until(() => told.length);
  assert.deepEqual(told, ["mine"]);
});

test("close ends the loop", async () => {
  scriptSockets((socket) => socket.open());
  const feed = new StreamFeed("http://feed.test/");
  setTimeout(() => feed.close(), 20);
  for await (const _ of feed) assert.fail();
  assert.equal(feed.state.name, "closed");
});

test("stores", async () => {
  const entries = new Map();
  const storage = { getItem: (key) => entries.get(key) ?? null, setItem: (key, value) => entries.set(key, value) };
  for (const store of [memoryStore(), localStore(storage)]) {
    assert.ok(!store.load("k"));
    store.save("k", "e-1");
    assert.equal(store.load("k"), "e-1");
  }
});

test("a store that fails does not stop the feed", async () => {
  scriptSockets((socket) => socket.open());
  const feed = follow({ store: { load() { throw new Error("disabled"); }, save() { throw new Error("full"); } } });
  await until(() => feed.state.name === "live");
  assert.equal(feed.stats.storeErrors, 1);
});

// ---- For other people's tests

test("a fake feed", async () => {
  const resets = [];
  const feed = fakeFeed({ streams: [{ id: "s-1", status: "active", version: 3 }], onReset: ({ reason }) => resets.push(reason) });
  const seen = [];
  const reading = (async () => { for await (const each of feed) seen.push([each.event, each.version]); })();
  feed.emit({ streamId: "s-1", payload: { status: "paused" } });
  feed.emit({ streamId: "s-2" });
  feed.reset("pruned");
  await until(() => resets.length === 1);
  await feed.streams.ready;
  feed.emit({ streamId: "s-2", payload: { status: "paused" } });
  assert.equal(feed.streams.get("s-1").version, 3);
  assert.equal(feed.streams.get("s-2").status, "paused");
  feed.close();
  await reading;
  assert.deepEqual(seen, [["stream.updated", 4], ["stream.created", 1], ["stream.updated", 2]]);
});

test("the map of streams is bounded, and keeps the highest version", async () => {
  const feed = fakeFeed({ maxStreams: 3, streams: [5, 4, 3, 2, 1].map((n) => ({ id: `s-${n}`, version: 2 })) });
  feeds.push(feed);
  await feed.streams.ready;
  assert.deepEqual([...feed.streams.keys()], ["s-3", "s-4", "s-5"]);
  assert.ok(feed.streams.truncated);
  feed.emit({ streamId: "s-3", version: 1, payload: { status: "old" } });
  assert.equal(feed.streams.get("s-3").status, undefined);
  feed.emit({ streamId: "s-9" });
  assert.deepEqual([...feed.streams.keys()], ["s-4", "s-5", "s-9"]);
});
