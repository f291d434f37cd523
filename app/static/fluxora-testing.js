/** A feed without a service, for the tests of those who use one. */
import { StreamFeed } from "./fluxora-streams.js";

class FakeFeed extends StreamFeed {
  #seq = 0; #known = new Map();

  constructor({ streams = [], ...options } = {}) {
    super("http://fake.invalid/", { ...options, connect: false, share: false });
    this.given = streams;
    for (const each of streams) this.#known.set(each.id, each);
    this.took("state", { name: "live", reason: "a fake feed", transport: "fake" });
  }

  #next() { return `fake-${(this.#seq += 1)}`; }

  /** Deliver an event; what is left out is filled in. Returns the whole event. */
  emit(event = {}) {
    const id = this.#next(), streamId = event.streamId ?? event.payload?.id ?? "stream-fake-0";
    const version = event.version ?? (this.#known.get(streamId)?.version ?? 0) + 1;
    const whole = {
      id, event: version === 1 ? "stream.created" : "stream.updated", streamId, version, changed: [],
      timestamp: new Date().toISOString(), ...event,
      payload: { id: streamId, status: "active", version, ...this.#known.get(streamId), ...event.payload, version },
    };
    this.#known.set(streamId, whole.payload);
    this.took("event", whole, whole.id);
    return whole;
  }

  /** Say that a cursor could not be served. */
  reset(reason = "pruned") {
    const cursor = this.#next();
    this.took("message", { event: "feed.reset", reason, cursor, timestamp: new Date().toISOString() }, cursor);
  }

  /** Say something of the service, as `service.degraded`. */
  say(message) { this.took("message", message, this.position); }

  /** Be in another state: "connecting", "waiting", "stopped". */
  become(name, reason = "said by the test", more = {}) { this.took("state", { name, reason, ...more }); }

  async get(path) {
    if (path === "api/streams") return { body: { streams: this.given, next: null }, position: this.position };
    throw new Error(`a fake feed has no ${path}`);
  }
}

export function fakeFeed(options) { return new FakeFeed(options); }
