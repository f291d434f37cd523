// Other people's clients, as their READMEs use them. Arguments: a library, the feed's address. Prints each event's id.
import { EventSource } from "eventsource";
import ReconnectingWebSocket from "reconnecting-websocket";
import WebSocket from "ws";

const [, , library, base] = process.argv;
const ws = `${base.replace("http", "ws")}/ws/streams`;
let cursor = "";

function take(text) {
  const message = JSON.parse(text);
  cursor = message.id ?? message.cursor ?? cursor;
  console.log(message.id ?? message.event);
}

const address = () => (cursor ? `${ws}?lastEventId=${cursor}` : ws);

const libraries = {
  eventsource() {
    const feed = new EventSource(`${base}/sse/streams`);
    for (const name of ["feed.opened", "stream.created", "stream.updated", "stream.cancelled"]) {
      feed.addEventListener(name, (event) => take(event.data));
    }
  },
  "reconnecting-websocket"() {
    const feed = new ReconnectingWebSocket(address, [], { WebSocket, maxReconnectionDelay: 500 });
    feed.addEventListener("message", (event) => take(event.data));
  },
  ws() {
    const feed = new WebSocket(address());
    feed.on("message", (data) => take(data.toString()));
    feed.on("error", () => {});
    feed.on("close", () => setTimeout(libraries.ws, 200));
  },
};

libraries[library]();
