/** What the treasury pays: sums over all streams, exact at each whole second, one line for each token. */
import { accrued } from "../fluxora-streams.js";
import { amount, decimalsOf, isOpen, short, tokenOf } from "./amounts.js";
import { copy, find, put } from "./elements.js";

/** Streams that are added up before the page gets its turn: about 2 ms. */
const SLICE = 500;
const pause = () => new Promise((done) => setTimeout(done));

export class Totals {
  constructor(root, streams) {
    Object.assign(this, { root, streams, ended: new WeakMap(), lines: new Map(), running: false });
  }

  /** Add up what has accrued at `at`, Unix seconds. A sum that takes longer than a second leaves the next one out. */
  async tick(at) {
    if (this.running) return;
    this.running = true;
    const sums = new Map(), all = [...this.streams().values()];
    for (let from = 0; from < all.length; from += SLICE) {
      if (from) await pause();
      for (const stream of all.slice(from, from + SLICE)) this.#add(sums, stream, at);
    }
    this.running = false;
    this.#draw(sums);
  }

  #add(sums, stream, at) {
    const key = tokenOf(stream);
    let sum = sums.get(key);
    if (!sum) sums.set(key, sum = { token: stream.token?.contractId, decimals: decimalsOf(stream), streamed: 0n, flow: 0n, active: 0, all: 0 });
    sum.all += 1;
    if (!isOpen(stream)) {
      // What has ended never changes: it is computed once.
      if (!this.ended.has(stream)) this.ended.set(stream, accrued(stream, at));
      sum.streamed += this.ended.get(stream);
      return;
    }
    const now = accrued(stream, at);
    if (stream.status === "active") sum.active += 1;
    sum.streamed += now;
    sum.flow += accrued(stream, at + 1) - now;
  }

  #draw(sums) {
    if (!sums.size) sums.set(`  7`, { token: undefined, decimals: 7, streamed: 0n, flow: 0n, active: 0, all: 0 });
    for (const [key, line] of this.lines) {
      if (sums.has(key)) continue;
      line.remove();
      this.lines.delete(key);
    }
    for (const [key, { token, decimals, streamed, flow, active, all }] of sums) {
      if (!this.lines.has(key)) this.lines.set(key, this.root.appendChild(copy("#total")));
      const line = this.lines.get(key);
      const whole = amount(streamed, decimals, true), point = whole.indexOf(".") + 1 || whole.length;
      put(".active", active.toLocaleString(), line);
      put(".all", `of ${this.streams().truncated ? "the newest " : ""}${all.toLocaleString()}`, line);
      put(".flow", amount(flow, decimals), line);
      put(".whole", whole.slice(0, point), line);
      put(".part", whole.slice(point), line);
      put(".token", token ? `token ${short(token)}` : "", line);
      find(".token", line).hidden = sums.size < 2;
    }
  }
}
