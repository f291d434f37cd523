// Follow the feed in Node 18 or newer, without any package: node examples/follow.mjs http://127.0.0.1:8000
// `fetch` shows the status and takes headers, so this also works where EventSource gives up.
const base = process.argv[2];
const QUIET_MS = 45_000; // longer than the keepalive of 15 s: only a connection that is really dead is given up
let cursor;

async function snapshot() {
  const answer = await fetch(`${base}/api/streams`);
  if (!answer.ok) throw new Error(`${answer.status}`);
  for (const { id, status } of (await answer.json()).streams) console.log("have", id, status);
  return answer.headers.get("Last-Event-ID");
}

// Yields {id, event, data} for each block; a block ends with an empty line.
async function* blocks(body, alive) {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of body) {
    alive();
    text += decoder.decode(bytes, { stream: true });
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const block = {};
      for (const line of text.slice(0, end).split("\n")) {
        const colon = line.indexOf(": ");
        if (colon > 0) block[line.slice(0, colon)] = line.slice(colon + 2);
      }
      yield block;
    }
  }
}

async function listen() {
  cursor ??= await snapshot();
  const abort = new AbortController();
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(), QUIET_MS);
  };
  alive();
  try {
    const headers = { "Last-Event-ID": cursor };
    const answer = await fetch(`${base}/sse/streams`, { headers, signal: abort.signal });
    if (!answer.ok) throw new Error(`${answer.status}`);
    for await (const { id, data } of blocks(answer.body, alive)) {
      if (data) await handle(JSON.parse(data));
      cursor = id ?? cursor; // after the work is done: at worst it is done twice, never not at all
    }
  } finally {
    clearTimeout(timer);
  }
}

// What is not known is ignored: the contract grows.
async function handle(message) {
  if (message.event.startsWith("stream.")) console.log(message.id, message.event, message.streamId, message.version);
  else if (message.event === "feed.reset") await snapshot();
}

for (;;) {
  try {
    await listen();
  } catch (error) {
    console.error("again soon:", error.message);
  }
  // Jitter: all clients of a restarted service lose their connection at the same moment.
  await new Promise((resolve) => setTimeout(resolve, 500 + 1000 * Math.random()));
}
