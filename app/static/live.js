// Both feeds side by side. Whatever comes from the service goes in as text, never as markup.
const MOST_SHOWN = 100;
const EVENTS = ["stream.created", "stream.updated", "stream.cancelled", "service.degraded", "service.recovered", "feed.reset"];
const PEOPLE = ["GBFJZVPWQ4QXISV3RIWC7YYOTXF74NEQ5ZSSY6CNTM6GLHDAC3DXRSFO", "GDZ2VRGWSPTW6YHILMWVTWTLR4ZQ6PY64NRSIWHZUJDDTMDSLY7A6QYX",
  "GBOZSH4K4JA2TTS4HAZV5Z23T33JQVNWIKIMTQIS27IJAKY7UGZPF3GX"];
const CONTRACT = "CC4ZG4RDAKQGDGBV3WQ2FX3K2S7AWJ3XKENWMGDYN6433CPNLUWMFJUW";

const TIME = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });

const find = (selector, within = document) => within.querySelector(selector);
const copy = (template) => find(template).content.firstElementChild.cloneNode(true);
const short = (id) => id.replace("stream-", "").replace(/^(.{8}).{8,}(.{4})$/, "$1…$2");
const query = (fields) => new URLSearchParams(fields).toString();

// Amounts are decimal strings with up to 7 decimals; floating point would lose some.
const units = (text) => { const [whole, part = ""] = text.split("."); return BigInt(whole + part.padEnd(7, "0")); };
const amount = (count) => count.toString().padStart(8, "0").replace(/(\d{7})$/, ".$1").replace(/\.?0+$/, "");

class Feed {
  constructor(title, path) {
    Object.assign(this, { path, title, panel: copy("#feed"), cursor: "", failures: 0, on: true });
    this.clear();
    find("h2", this.panel).textContent = title;
    find(".path", this.panel).textContent = `GET /${path}`;
    find(".events", this.panel).ariaLabel = `Events over ${title}, newest first`;
    find(".toggle", this.panel).onclick = () => { this.on = !this.on; this.on ? this.open() : this.stop(); };
    find("#feeds").append(this.panel);
  }
  clear() {
    Object.assign(this, { count: 0, last: "none", texts: [], fresh: [] });
    find(".events", this.panel).replaceChildren();
  }
  start(cursor) {
    this.clear();
    this.cursor = cursor;
    if (this.on) this.open();
    draw();
  }
  open() {
    this.close();
    if (document.hidden) return this.show("paused", "Paused while hidden");
    this.show("connecting", "Connecting");
    find(".state", this.panel).dataset.query = query(filter);
    this.connect(`${this.path}?${query({ ...filter, lastEventId: this.cursor })}`);
  }
  stop() { this.close(); this.show("stopped", "Stopped"); }
  close() { clearTimeout(this.timer); this.disconnect(); }
  opened() {
    this.show("live", "Live");
    // Not at once: a service that accepts and hangs up would be asked again and again without a pause.
    this.timer = setTimeout(() => { this.failures = 0; }, 5000);
    refresh();
  }
  retry(told) {
    this.close();
    const wait = told ?? Math.min(30_000, 500 * 2 ** this.failures++) * (0.5 + Math.random() / 2);
    this.show("waiting", `Reconnecting in ${(wait / 1000).toFixed(1)} s`);
    this.timer = setTimeout(() => this.open(), wait);
  }
  show(state, text) {
    const shown = find(".state", this.panel);
    shown.dataset.state = this.state = state;
    shown.textContent = text;
    find(".toggle", this.panel).textContent = this.on ? "Disconnect" : "Connect";
  }
  take(text) {
    const message = JSON.parse(text);
    this.cursor = message.id ?? message.cursor ?? this.cursor;
    if (!message.id) return notice(message);
    this.count += 1;
    this.last = message.id;
    this.texts = [...this.texts, text].slice(-MOST_SHOWN);
    this.fresh = [...this.fresh, message].slice(-MOST_SHOWN);
    learn(message.payload);
    draw();
  }
  draw() {
    const list = find(".events", this.panel);
    list.prepend(...this.fresh.reverse().map(row));
    while (list.children.length > MOST_SHOWN) list.lastElementChild.remove();
    this.fresh = [];
    find(".count", this.panel).textContent = this.count;
    find(".last", this.panel).textContent = this.last;
  }
}

class EventSourceFeed extends Feed {
  connect(url) {
    const source = this.source = new EventSource(url);
    for (const name of EVENTS) source.addEventListener(name, ({ data }) => this.take(data));
    source.onopen = () => this.opened();
    // EventSource comes back by itself, unless it was answered with anything but 200.
    source.onerror = () => source.readyState === EventSource.CLOSED ? this.retry() : this.show("waiting", "Reconnecting");
  }
  disconnect() { this.source?.close(); }
}

class WebSocketFeed extends Feed {
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

let filter = {}, streams = new Map(), outages = new Map(), reset = "", drawing = false, bannersShown = "", optionsShown = "";
const feeds = [new EventSourceFeed("Server-Sent Events", "sse/streams"), new WebSocketFeed("WebSocket", "ws/streams")];

// The snapshot names the place in the log that it contains; both feeds go on from there, so they must show the same.
async function snapshot() {
  const response = await fetch("api/streams?limit=50&status=active&status=paused");
  if (!response.ok) throw new Error(response.statusText);
  streams = new Map((await response.json()).streams.reverse().map((stream) => [stream.id, stream]));
  draw();
  return response.headers.get("Last-Event-ID");
}
async function follow() {
  try {
    const cursor = await snapshot();
    for (const feed of feeds) feed.start(cursor);
  } catch { setTimeout(follow, 1000 + Math.random() * 2000); }
}
function learn(stream) {
  if ((streams.get(stream.id)?.version ?? 0) < stream.version) streams.set(stream.id, stream);
  if (streams.size > 500) streams.delete(streams.keys().next().value);
}
function notice({ event, source, reason, cursor }) {
  if (event === "service.degraded") outages.set(source, reason);
  if (event === "service.recovered") outages.delete(source);
  if (event === "feed.reset") {
    reset = `The feed could not go on where this page was (${reason}), so it goes on from ${cursor}. Streams were loaded anew.`;
    snapshot().catch(() => {});
  }
  draw();
}

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; for (const part of [...feeds.map((feed) => () => feed.draw()), parity, options, banners]) part(); });
}
function row({ id, event, streamId, version, payload, changed, timestamp }) {
  const item = copy("#event"), put = (part, text) => Object.assign(find(part, item), { textContent: text });
  item.dataset.event = event;
  item.dataset.id = id;
  put(".name", event);
  put(".stream", short(streamId)).onclick = () => choose(streamId);
  find(".stream", item).ariaLabel = `Follow only ${streamId}`;
  put(".version", `v${version}`);
  put("time", TIME.format(new Date(timestamp))).dateTime = timestamp;
  put(".status", payload.status).dataset.status = payload.status;
  put(".amounts", `${payload.streamedAmount} of ${payload.depositAmount}`);
  Object.assign(find("progress", item), { max: Number(payload.depositAmount), value: Number(payload.streamedAmount) });
  put(".changed", changed.length ? `changed ${changed.join(", ")}` : `${payload.ratePerSecond} per second`);
  put(".id", id);
  return item;
}
function parity() {
  const [one, two] = feeds, shown = find("#parity");
  const same = one.count === two.count && one.texts.join() === two.texts.join();
  shown.dataset.same = one.count || two.count ? same : "none";
  if (!same) shown.textContent = `${one.title} has ${one.count} events, ${two.title} ${two.count}: the one behind catches up as soon as it is live.`;
  else if (one.count) shown.textContent = `✓ Both feeds carry the same ${one.count} events, byte for byte, in the same order.`;
}
function options() {
  const select = find("#stream"), open = [...streams.values()].filter(({ status }) => status === "active" || status === "paused").slice(-50).reverse();
  const made = JSON.stringify(open.map(({ id, status, streamedAmount, depositAmount }) => [id, `${short(id)} · ${status} · ${streamedAmount} of ${depositAmount}`]));
  if (made !== optionsShown) {
    const chosen = select.value;
    select.replaceChildren(...JSON.parse(optionsShown = made).map(([id, label]) => new Option(label, id, false, id === chosen)));
    if (!open.length) select.append(new Option("none yet: create one", ""));
  }
  find("#pause").textContent = streams.get(select.value)?.status === "paused" ? "Resume" : "Pause";
  for (const name of ["#stream", "#pause", "#pay", "#cancel"]) find(name).disabled = !open.length;
}
function banners() {
  const lines = [...outages].map(([source, reason]) => `Degraded: ${reason} (${source})`).concat(reset || []);
  if (lines.join("\n") === bannersShown) return;
  bannersShown = lines.join("\n");
  find("#banners").replaceChildren(...lines.map((text) => {
    const banner = Object.assign(document.createElement("p"), { className: "banner", textContent: text });
    if (text === reset) banner.append(Object.assign(document.createElement("button"), { textContent: "Understood", onclick: () => { reset = ""; draw(); } }));
    return banner;
  }));
}
async function refresh() {
  let status = "unreachable", figures = "";
  try {
    const health = await (await fetch("health", { cache: "no-store", signal: AbortSignal.timeout(2500) })).json();
    outages = new Map(health.outages.map(({ source, reason }) => [source, reason]));
    figures = `${health.sseConnections} SSE · ${health.wsConnections} WebSocket · log at ${health.log.head}`;
    status = health.status;
  } catch { /* Shown as unreachable. */ }
  find("#health").dataset.status = status;
  find("#status").textContent = status.replace("_", " ");
  find("#figures").textContent = figures;
  draw();
}

async function call(method, path, body, version) {
  const headers = { Authorization: `Bearer ${find("#key").value.trim()}`, "Content-Type": "application/json" };
  if (version) headers["If-Match"] = `"${version}"`;
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (response.status === 401) find("#key").focus();
  if (!response.ok) throw new Error(`${answer.title}: ${answer.detail}`);
  return answer;
}
function button(id, action) {
  find(id).onclick = async ({ currentTarget: pressed }) => {
    const answer = find("#answer");
    pressed.ariaBusy = true;
    try {
      answer.textContent = await action(streams.get(find("#stream").value));
      answer.dataset.failed = false;
    } catch (error) {
      answer.textContent = error.message;
      answer.dataset.failed = true;
    }
    pressed.ariaBusy = false;
  };
}
async function change(stream, fields) {
  const after = await call(fields ? "PATCH" : "DELETE", `api/streams/${encodeURIComponent(stream.id)}`, fields, stream.version);
  learn(after);
  draw();
  return `${short(after.id)} is ${after.status}, ${after.streamedAmount} of ${after.depositAmount} streamed.`;
}
const pair = () => { const first = Math.floor(Math.random() * 3); return { sender: PEOPLE[first], recipient: PEOPLE[(first + 1) % 3] }; };

button("#create", async () => {
  const stream = await call("POST", "api/streams", { ...pair(), depositAmount: "1000", ratePerSecond: "0.5" });
  learn(stream);
  options();
  find("#stream").value = stream.id;
  draw();
  return `Created ${short(stream.id)}.`;
});
button("#ten", async () => {
  const transactionHash = Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const chain = (eventIndex, fields) => ({ contractId: CONTRACT, transactionHash, eventIndex, ...fields });
  const created = { type: "StreamCreated", ...pair(), amount: "1000", ratePerSecond: "0.5", startTime: Math.floor(Date.now() / 1000) };
  const paid = (tenth) => ({ type: "StreamUpdated", streamId: `stream-${transactionHash}-0`, streamedAmount: `${tenth}00`, remainingAmount: `${10 - tenth}00` });
  const { accepted } = await call("POST", "api/events", { events: [chain(0, created), ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => chain(n, paid(n)))] });
  return `${accepted} events in one transaction.`;
});
button("#pause", (stream) => change(stream, { status: stream.status === "paused" ? "active" : "paused" }));
button("#cancel", (stream) => change(stream));
button("#pay", (stream) => {
  const deposit = units(stream.depositAmount), paid = units(stream.streamedAmount) + (deposit + 9n) / 10n, done = paid >= deposit;
  const amounts = { streamedAmount: amount(done ? deposit : paid), remainingAmount: amount(done ? 0n : deposit - paid) };
  return change(stream, done && stream.status === "active" ? { ...amounts, status: "completed" } : amounts);
});
function choose(text) {
  const field = find("#filter");
  field.value = text;
  field.setCustomValidity("");
  find("#filter-form").requestSubmit();
}
find("#stream").onchange = draw;
find("#key").value = sessionStorage.getItem("key") ?? "";
find("#key").oninput = ({ target }) => sessionStorage.setItem("key", target.value.trim());
find("#key-form").onsubmit = (event) => { event.preventDefault(); find("#create").click(); };
find("#filter").oninput = ({ target }) => target.setCustomValidity("");
find("#all").onclick = () => choose("");
find("#filter-form").onsubmit = async (event) => {
  event.preventDefault();
  const field = find("#filter"), text = field.value.trim(), wanted = text ? { [text.startsWith("stream-") ? "streamId" : "sender"]: text } : {};
  const problem = await call("GET", `api/events?${query({ ...wanted, limit: 1 })}`).then(() => "", (error) => error.message);
  field.setCustomValidity(problem);
  if (!field.reportValidity()) return;
  filter = wanted;
  follow();
};
// A browser has six connections to a service over HTTP/1.1, for all its tabs: the seventh tab would never load.
addEventListener("visibilitychange", () => { for (const feed of feeds) if (feed.on) feed.open(); });
addEventListener("online", () => { for (const feed of feeds) if (feed.state === "waiting") feed.open(); });
setInterval(() => { if (!document.hidden) refresh(); }, 3000);
follow();
refresh();
