/** Making events by hand: the only place of the page that writes, and so the only one that asks for a key. */
import { amount, isOpen, short, units } from "./amounts.js";
import { find, put } from "./elements.js";
import { call, session } from "./session.js";

const PEOPLE = ["GBFJZVPWQ4QXISV3RIWC7YYOTXF74NEQ5ZSSY6CNTM6GLHDAC3DXRSFO", "GDZ2VRGWSPTW6YHILMWVTWTLR4ZQ6PY64NRSIWHZUJDDTMDSLY7A6QYX",
  "GBOZSH4K4JA2TTS4HAZV5Z23T33JQVNWIKIMTQIS27IJAKY7UGZPF3GX"];
const CONTRACT = "CC4ZG4RDAKQGDGBV3WQ2FX3K2S7AWJ3XKENWMGDYN6433CPNLUWMFJUW";
const DECIMALS = 7, MOST_OFFERED = 50;

const pair = () => { const first = Math.floor(Math.random() * 3); return { sender: PEOPLE[first], recipient: PEOPLE[(first + 1) % 3] }; };
const hexadecimal = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export class Writing {
  /** `streams()` is a live Map; `keyed()` is called when there is another key. */
  constructor(root, streams, keyed) {
    Object.assign(this, { root, streams, shown: "" });
    const key = find("#key", root);
    key.value = session.key;
    key.oninput = () => { session.key = key.value.trim(); };
    key.onchange = keyed;
    find("#key-form", root).onsubmit = (event) => { event.preventDefault(); keyed(); };
    find("#stream", root).onchange = () => this.draw();
    this.button("#create", () => this.create());
    this.button("#ten", () => this.ten());
    this.button("#pause", (stream) => this.change(stream, { status: stream.status === "paused" ? "active" : "paused" }));
    this.button("#cancel", (stream) => this.change(stream));
    this.button("#pay", (stream) => this.pay(stream));
  }

  button(id, action) {
    find(id, this.root).onclick = async ({ currentTarget: pressed }) => {
      const answer = find("#answer", this.root);
      pressed.ariaBusy = true;
      try {
        put(answer, await action(this.streams().get(find("#stream", this.root).value)));
        answer.dataset.failed = false;
      } catch (error) {
        put(answer, error.message);
        answer.dataset.failed = true;
        if (error.status === 401) find("#key", this.root).focus();
      }
      pressed.ariaBusy = false;
    };
  }

  async create() {
    const stream = await call("POST", "api/streams",
      { ...pair(), depositAmount: "1000", ratePerSecond: "0.5", startTime: Math.floor(Date.now() / 1000) });
    this.streams().take(stream);
    this.draw();
    find("#stream", this.root).value = stream.id;
    return `Created ${short(stream.id)}.`;
  }

  async ten() {
    const transactionHash = hexadecimal(crypto.getRandomValues(new Uint8Array(32)));
    const chain = (eventIndex, fields) => ({ contractId: CONTRACT, transactionHash, eventIndex, ...fields });
    const created = { type: "StreamCreated", ...pair(), amount: "1000", ratePerSecond: "0.5", startTime: Math.floor(Date.now() / 1000) };
    const paid = (tenth) => ({ type: "StreamUpdated", streamId: `stream-${transactionHash}-0`, streamedAmount: `${tenth}00`, remainingAmount: `${10 - tenth}00` });
    const events = [chain(0, created), ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => chain(n, paid(n)))];
    return `${(await call("POST", "api/events", { events })).accepted} events in one transaction.`;
  }

  pay(stream) {
    const deposit = units(stream.depositAmount, DECIMALS), paid = units(stream.streamedAmount, DECIMALS) + (deposit + 9n) / 10n;
    const done = paid >= deposit, plain = (count) => amount(count, DECIMALS).replace(/[^\d.]/g, "");
    const amounts = { streamedAmount: plain(done ? deposit : paid), remainingAmount: plain(done ? 0n : deposit - paid) };
    return this.change(stream, done && stream.status === "active" ? { ...amounts, status: "completed" } : amounts);
  }

  async change(stream, fields) {
    const after = await call(fields ? "PATCH" : "DELETE", `api/streams/${encodeURIComponent(stream.id)}`, fields, stream.version);
    this.streams().take(after);
    this.draw();
    return `${short(after.id)} is ${after.status}, ${after.streamedAmount} of ${after.depositAmount} streamed.`;
  }

  /** Offer the newest streams that can be changed: a chain's stream changes by the chain's events alone. */
  draw() {
    if (this.root.hidden || document.hidden) return;
    const select = find("#stream", this.root), chosen = select.value, open = [];
    for (const stream of [...this.streams().values()].reverse()) {
      if (isOpen(stream) && !stream.chainStreamId) open.push(stream);
      if (open.length === MOST_OFFERED) break;
    }
    const offered = open.map(({ id, status, streamedAmount, depositAmount }) => [id, `${short(id)} · ${status} · ${streamedAmount} of ${depositAmount}`]);
    const shown = JSON.stringify(offered);
    if (shown !== this.shown) {
      this.shown = shown;
      select.replaceChildren(...offered.map(([id, label]) => new Option(label, id, false, id === chosen)));
      if (!offered.length) select.append(new Option("none yet: create one", ""));
    }
    put("#pause", this.streams().get(select.value)?.status === "paused" ? "Resume" : "Pause", this.root);
    for (const name of ["#stream", "#pause", "#pay", "#cancel"]) find(name, this.root).disabled = !offered.length;
  }
}
