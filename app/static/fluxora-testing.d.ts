import { FeedEvent, FeedOptions, ServiceMessage, StateName, Stream, StreamFeed } from "./fluxora-streams.js";

export type PartialEvent = Partial<Omit<FeedEvent, "payload">> & { payload?: Partial<Stream> };

export declare class FakeFeed extends StreamFeed {
  /** Deliver an event; what is left out is filled in. Returns the whole event. */
  emit(event?: PartialEvent): FeedEvent;
  /** Say that a cursor could not be served. */
  reset(reason?: string): void;
  /** Say something of the service. */
  say(message: ServiceMessage): void;
  /** Be in another state. */
  become(name: StateName, reason?: string, more?: { status?: number; code?: number }): void;
}

/** A feed without a service. `streams` is what its snapshot holds, newest first. */
export declare function fakeFeed(options?: FeedOptions & { streams?: Partial<Stream>[] }): FakeFeed;
