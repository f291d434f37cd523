/** The live page: one feed for all of it, and four views that the address chooses. */
import { StreamFeed } from "../fluxora-streams.js";
import { Connection } from "./connection.js";
import { copy, find, put, throttled } from "./elements.js";
import { EventList } from "./event-list.js";
import { call, readsToo, session } from "./session.js";
import { SideBySide } from "./side-by-side.js";
import { StreamPage } from "./stream-page.js";
import { StreamTable } from "./stream-table.js";
import { Totals } from "./totals.js";
import { Writing } from "./writing.js";
import { causeName } from "./words.js";

const HEALTH_EVERY = 3000, CLOCK_IS_WRONG = 2000;

let skew = 0, outages = new Map(), reset = "", refused = "", said = "";
/** By the service's clock: what has accrued does not depend on how this machine's is set. */
const now = () => Date.now() + skew;
const feedNow = () => feed, streams = () => feed.streams;

const feed = new StreamFeed(".", {
  getToken: () => (session.reads && session.key ? session.key : undefined),
  onEvent: taken,
  onState: stateChanged,
  onReset({ reason, cursor }) {
    reset = `The feed could not go on where this page was (${reason}), so it goes on from ${cursor}. Streams were loaded anew.`;
    banners();
  },
  onService({ event, source, reason }) {
    if (event === "service.degraded") outages.set(source, reason);
    if (event === "service.recovered") outages.delete(source);
    banners();
  },
  onStreams: (stream) => table.changed(stream),
});
const table = new StreamTable(find("#flows"), streams, now);
const totals = new Totals(find("#totals"), streams);
const list = new EventList(find("#happens"));
const one = new StreamPage(find("#one"), feedNow, now);
const connection = new Connection(find("#own"), feedNow);
const raw = new SideBySide(find("#raw"));
const writing = new Writing(find("#write"), streams, keyed);
const rewrite = throttled(() => writing.draw(), 250);

function taken(event) {
  list.take(event);
  table.changed(event.payload, causeName(event));
  one.take(event);
  connection.take(event);
  rewrite();
}

function stateChanged(state) {
  refused = state.name === "stopped" && state.status === 401 ? "Reading needs a key or a token here." : "";
  find("#line").dataset.state = state.name;
  put("#line", state.name === "live" ? "live" : state.name);
  find("#line").title = state.reason;
  connection.draw();
  banners();
}

/** Another key: where reading needs one, it is tried at once. */
function keyed() {
  if (!refused && !session.reads) return;
  readsToo();
  feed.streams.reset();
  feed.reconnect();
}

// ---- Views: #/ what flows, #/stream/<id>, #/connection, #/write.

const VIEWS = { "": ["#totals-box", "#flows", "#happens"], stream: ["#one"], connection: ["#own", "#raw"], write: ["#write"] };

function route(event) {
  // "Skip to the content" is no view.
  if (event && location.hash && !location.hash.startsWith("#/")) return;
  const [, name = "", id] = /^#\/([a-z]*)\/?(.*)$/.exec(location.hash) ?? [];
  const view = Object.hasOwn(VIEWS, name) ? name : "";
  for (const [each, parts] of Object.entries(VIEWS)) for (const part of parts) find(part).hidden = each !== view;
  for (const link of document.querySelectorAll("#views a")) {
    if (link.hash === `#/${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  one.close();
  if (view === "stream") one.open(decodeURIComponent(id));
  raw.show(view === "connection");
  document.title = { "": "Fluxora streams, live", stream: `Stream ${id}`, connection: "Connection", write: "Write" }[view];
  // Who follows a link by keyboard or screen reader stands at the new view's beginning.
  if (event) find("main").focus();
  draw();
}

function draw() {
  table.draw();
  list.draw();
  connection.draw();
  writing.draw();
}

function banners() {
  const lines = [...outages].map(([source, reason]) => ({ text: `Degraded: ${reason} (${source})` }));
  if (refused) lines.push({ text: refused, link: ["#/write", "Give one"] });
  if (reset) lines.push({ text: reset, understood: () => { reset = ""; banners(); } });
  const shown = JSON.stringify(lines);
  if (shown === said) return;
  said = shown;
  find("#banners").replaceChildren(...lines.map(({ text, link, understood }) => {
    const banner = put(copy("#banner"), text);
    if (link) banner.append(Object.assign(document.createElement("a"), { href: link[0], textContent: link[1] }));
    if (understood) banner.append(Object.assign(document.createElement("button"), { textContent: "Understood", onclick: understood }));
    return banner;
  }));
}

async function health() {
  let status = "unreachable", figures = "";
  try {
    const answer = await fetch("health", { cache: "no-store", signal: AbortSignal.timeout(2500) });
    const found = await answer.json(), off = Date.parse(answer.headers.get("Date")) - Date.now();
    skew = Math.abs(off) > CLOCK_IS_WRONG ? off : 0;
    outages = new Map(found.outages.map(({ source, reason }) => [source, reason]));
    figures = `${found.sseConnections} SSE · ${found.wsConnections} WebSocket · log at ${found.log.head}`;
    status = found.status;
  } catch { /* Shown as unreachable. */ }
  find("#health").dataset.status = status;
  put("#status", status.replace("_", " "));
  put("#figures", figures);
  banners();
}

setInterval(() => {
  connection.tick();
  if (document.hidden) return;
  if (!find("#totals-box").hidden) totals.tick(Math.floor(now() / 1000));
  table.tick();
  one.tick();
}, 1000);
setInterval(() => { if (!document.hidden) health(); }, HEALTH_EVERY);
addEventListener("hashchange", route);
addEventListener("visibilitychange", () => { if (!document.hidden) { health(); draw(); } });
feed.streams.ready.then(() => totals.tick(Math.floor(now() / 1000)), () => {});
route();
health();
