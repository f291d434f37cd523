// The algorithm that people would write first on Node: one loop over all sockets for each message.
// POST /publish takes messages, one a line.  node node.js PORT
const http = require("node:http");
const { WebSocketServer } = require("ws");

const sockets = new Set();
const streams = new Set();

const server = http.createServer((request, response) => {
  if (request.url.startsWith("/sse")) {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
    response.flushHeaders();
    streams.add(response);
    request.on("close", () => streams.delete(response));
    return;
  }
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    for (const message of Buffer.concat(parts).toString().split("\n")) {
      if (!message) continue;
      for (const socket of sockets) if (socket.readyState === 1) socket.send(message);
      const block = `id: ${message.slice(7, message.indexOf('"', 7))}\nevent: stream.created\ndata: ${message}\n\n`;
      for (const stream of streams) stream.write(block);
    }
    response.end("ok");
  });
});
const websockets = new WebSocketServer({ server, perMessageDeflate: false });
websockets.on("connection", (socket) => {
  sockets.add(socket);
  socket.on("close", () => sockets.delete(socket));
});
server.listen(Number(process.argv[2]), "127.0.0.1", 2048, () => console.log("listening"));
