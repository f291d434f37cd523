/** The page's own connection: its state, how late events come, how many; and a button that cuts it. */
import { ago, events as counted } from "./amounts.js";
import { find, put } from "./elements.js";
import { Plot } from "./plot.js";

const KINDS = { websocket: "WebSocket", sse: "Server-Sent Events" };

export class Connection {
  constructor(root, feed) {
    Object.assign(this, { root, feed, seen: 0, late: [] });
    this.latency = new Plot(find("#latency", root), " ms");
    this.rate = new Plot(find("#rate", root), "/s");
    find("#cut", root).onclick = () => this.cut();
  }

  cut() {
    put("#cut-answer", "Cut. It goes on after the last event that it saw.", this.root);
    this.feed().reconnect();
  }

  take(event) { this.late.push(Math.max(0, Date.now() - Date.parse(event.timestamp))); }

  /** A second is over. The plots go on while another view is shown. */
  tick() {
    const { events } = this.feed().stats;
    this.rate.add(Math.max(0, events - this.seen));
    this.latency.add(this.late.length ? this.late.sort((one, two) => one - two)[this.late.length >> 1] : undefined);
    this.seen = events;
    this.late = [];
    this.draw();
  }

  draw() {
    if (this.root.hidden || document.hidden) return;
    const { state, stats, lastEventId } = this.feed();
    const tabs = state.shared ? (state.owner ? ", shared with other tabs" : ", through another tab") : "";
    put("#own-state", `${state.name}: ${state.reason}`, this.root).dataset.state = state.name;
    const facts = {
      transport: (KINDS[state.transport] ?? "none") + tabs,
      since: state.since ? ago(state.since, Date.now()) : "–",
      position: lastEventId ?? "none",
      counted: `${counted(stats.events)}, ${stats.dials.toLocaleString()} dials, ${stats.resets} resets, ${Math.round(stats.bytes / 1024).toLocaleString()} KiB`,
    };
    for (const [name, text] of Object.entries(facts)) put(`#${name}`, text, this.root);
    this.latency.draw();
    this.rate.draw();
  }
}
