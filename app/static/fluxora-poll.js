/** Loaded by fluxora-streams.js where a proxy swallows WebSockets and holds SSE back: reads the log, page by page. */
import { ask } from "./fluxora-streams.js";

const EVERY = 5000, PATIENCE = 20_000, PAGE = 1000;

export function pollLink(line, token) {
  const abort = new AbortController(), { signal } = abort;
  const link = {
    kind: "poll", filters: line.filters, heardAt: Date.now(), close: () => abort.abort(),
    words: "by polling: neither a WebSocket nor SSE gets through",
  };
  const get = (url) => {
    const late = setTimeout(() => abort.abort(new Error("no answer came in time")), PATIENCE);
    return ask(url, token, { signal }).finally(() => clearTimeout(late));
  };
  const pause = () => new Promise((done) => {
    const timer = setTimeout(done, line.options.poll ?? EVERY);
    signal.addEventListener("abort", () => { clearTimeout(timer); done(); });
  });
  const now = async () => {
    const url = line.url("api/streams");
    url.search = line.base.search;
    url.searchParams.set("limit", 1);
    return (await get(url)).headers.get("Last-Event-ID");
  };
  /** Like the feeds: a cursor that cannot be served is no error, but a new beginning. */
  const restart = async ({ status, problem }) => {
    const reason = status === 410 ? problem.reason : "malformed";
    line.take(link, { event: "feed.reset", reason, cursor: await now(), timestamp: new Date().toISOString() });
  };
  const page = async () => {
    const url = line.url("api/events");
    url.searchParams.set("after", line.cursor);
    url.searchParams.set("limit", PAGE);
    const body = await (await get(url)).json();
    for (const each of [...body.events, { event: "feed.position", cursor: body.cursor }]) {
      if (signal.aborted) return false;
      line.stats.bytes += JSON.stringify(each).length;
      line.take(link, each);
    }
    return body.events.length === PAGE;
  };
  const run = async () => {
    const start = line.cursor ?? await now();
    if (signal.aborted) return;
    line.cursor = start;
    while (!signal.aborted) {
      const more = await page().catch((error) => {
        const ofCursor = error.status === 410 || error.problem?.errors?.some(({ field }) => field === "after");
        if (!ofCursor || signal.aborted) throw error;
        return restart(error);
      });
      link.heardAt = Date.now();
      if (signal.aborted) return;
      if (!link.synced) line.live(link);
      if (!more) await pause();
      if (!signal.aborted && Date.now() >= line.sseAt) return line.dial();
    }
  };
  run().catch(({ message, status, told }) => line.ended(link, { reason: message, status, told }));
  return link;
}
