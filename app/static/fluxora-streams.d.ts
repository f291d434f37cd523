/** Types of fluxora-streams.js. Amounts are decimal strings; `base` holds exact whole numbers of the token's units. */

export type EventName = "stream.created" | "stream.updated" | "stream.cancelled";
export type Status = "active" | "paused" | "completed" | "cancelled";

export interface Stream {
  id: string;
  sender: string;
  recipient: string;
  depositAmount: string;
  streamedAmount: string;
  remainingAmount: string;
  ratePerSecond: string;
  /** Unix seconds; `endTime` 0 is open. */
  startTime: number;
  endTime: number;
  status: Status;
  contractId: string | null;
  transactionHash: string | null;
  eventIndex: number | null;
  version: number;
  createdAt: string;
  updatedAt: string;
  chainStreamId?: string | null;
  kind?: "linear" | "cliffOnly" | "cliffSlope";
  base?: Record<string, string | null>;
  cliffTime?: number | null;
  checkpointAt?: number | null;
  cancelledAt?: number | null;
  /** The service may add fields. */
  [field: string]: unknown;
}

export interface FeedEvent {
  /** Opaque: a cursor to go on from. */
  id: string;
  event: EventName;
  streamId: string;
  /** Counts 1, 2, 3... for each stream. */
  version: number;
  /** The whole stream after the change. */
  payload: Stream;
  changed: string[];
  timestamp: string;
  cause?: string;
  detail?: Record<string, unknown> | null;
  chain?: Record<string, unknown> | null;
}

export interface FeedReset { event: "feed.reset"; reason: string; cursor: string; timestamp: string }
export interface ServiceMessage { event: string; reason?: string; timestamp?: string; [field: string]: unknown }

export type StateName = "connecting" | "live" | "waiting" | "stopped" | "closed";
export interface FeedState {
  name: StateName;
  /** Why, in words for people. */
  reason: string;
  transport?: "websocket" | "sse" | "poll" | "fake";
  /** Whether tabs share the connection, and whether it is this tab's. */
  shared?: boolean;
  owner?: boolean;
  /** Milliseconds since 1970: when the next dial is due, and since when this is so. */
  retryAt?: number;
  since?: number;
  /** What ended it, when "stopped". */
  status?: number;
  code?: number;
}

export interface FeedStats {
  events: number;
  resets: number;
  dials: number;
  bytes: number;
  /** Milliseconds between an event's timestamp and its arrival, by this machine's clock. */
  latency: number | undefined;
  storeErrors: number;
}

export type OneOrMore<T = string> = T | readonly T[];
/** OR within a field, AND across them. Which there are, the service's reference says. */
export interface Filter {
  streamId?: OneOrMore;
  sender?: OneOrMore;
  recipient?: OneOrMore;
  event?: OneOrMore<EventName>;
  [field: string]: OneOrMore | undefined;
}

export interface CursorStore {
  load(key: string): string | null | undefined | Promise<string | null | undefined>;
  save(key: string, cursor: string): unknown;
}

export interface FeedOptions {
  filter?: Filter;
  /** Called before every dial. `refused`: the token that was not taken; `expiring`: the one in use ends soon. */
  getToken?(why: { refused?: string; expiring?: boolean }): string | undefined | Promise<string | undefined>;
  lastEventId?: string;
  store?: CursorStore;
  onEvent?(event: FeedEvent): void;
  onReset?(reset: FeedReset): void;
  onState?(state: FeedState): void;
  onService?(message: ServiceMessage): void;
  onStreams?(stream: Stream): void;
  /** Share the connection with the other tabs of this origin; true in pages. */
  share?: boolean;
  /** Whom the token is for, where the token does not say: tabs share only if it is the same. */
  principal?: string;
  /** Only these, instead of a WebSocket, else SSE, and else the log page by page. */
  transports?: ("websocket" | "sse" | "poll")[];
  /** Milliseconds between two pages, where neither a WebSocket nor SSE gets through; 5,000. */
  poll?: number;
  /** Streams that `streams` holds at most; 10,000. */
  maxStreams?: number;
  /** Events that wait for a slow reader at most; 10,000. Then the feed pauses. */
  buffer?: number;
  /** Milliseconds of silence after which the connection is looked at; 25,000. */
  silence?: number;
  /** Milliseconds that an answer to that may take; 5,000. */
  pong?: number;
  /** Milliseconds on SSE before a WebSocket is tried again; 60,000, then doubled each time. */
  retrySocket?: number;
  /** False: never connects, as in tests. */
  connect?: boolean;
}

export declare class FeedError extends Error {
  constructor(reason: string, details?: { status?: number; code?: number });
  status?: number;
  code?: number;
}

/** The streams as they are. Only the feed writes to it. */
export interface LiveStreams extends ReadonlyMap<string, Stream> {
  /** The snapshot is in. Rejected if the service refuses it. */
  readonly ready: Promise<LiveStreams>;
  /** Whether there are more streams than `maxStreams`. */
  readonly truncated: boolean;
}

export declare class StreamFeed implements AsyncIterable<FeedEvent> {
  /** `url` is the service's, or that of one of its feeds. Throws TypeError if it is no URL. */
  constructor(url: string | URL, options?: FeedOptions);
  readonly state: FeedState;
  readonly stats: FeedStats;
  readonly streams: LiveStreams;
  /** The cursor of what was handled: pass it as `lastEventId` to go on from here. */
  readonly lastEventId: string | undefined;
  readonly closed: boolean;
  /** Under what its cursor is kept in the store. */
  readonly key: string;
  readonly filter: Record<string, string[]>;
  /** Dial now with a new token, also after a final refusal. */
  reconnect(): void;
  close(): void;
  /** Ends with `close`; throws FeedError when the service refuses for good. */
  [Symbol.asyncIterator](): AsyncIterableIterator<FeedEvent>;
}

/** Whether an event is wanted by a filter, as the service sees it. */
export declare function matches(filter: Filter, event: FeedEvent): boolean;

/** Exact whole units of the token accrued at a time: Unix seconds, or a Date. */
export declare function accrued(stream: Stream, at: number | bigint | Date): bigint;

export declare function memoryStore(entries?: Map<string, string>): CursorStore;
export declare function localStore(storage?: Pick<Storage, "getItem" | "setItem">): CursorStore;
export declare function indexedStore(name?: string): CursorStore;
