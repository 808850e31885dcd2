// The stock socket.io-client, as a test wants it: `node client.js '{"url": ..., "options": {...}}'`.
// Everything that happens to it is a line of JSON on stdout; lines of JSON on stdin make it do things.
"use strict";

const readline = require("node:readline");
const { io } = require("socket.io-client");

const { url, options, count = 1 } = JSON.parse(process.argv[2]);
const sockets = [];

function connect(client) {
  const tell = (what) => process.stdout.write(JSON.stringify({ client, ...what }) + "\n");
  const socket = io(url, { reconnectionDelay: 20, reconnectionDelayMax: 50, ...options });
  socket.on("connect", () => {
    const engine = socket.io.engine;
    tell({ event: "connect", recovered: Boolean(socket.recovered), transport: engine.transport.name });
    engine.on("upgrade", (transport) => tell({ event: "upgrade", transport: transport.name }));
  });
  socket.on("connect_error", (error) =>
    tell({ event: "connect_error", message: error.message, data: error.data, active: socket.active })
  );
  socket.on("disconnect", (reason) => tell({ event: "disconnect", reason }));
  socket.on("run-event", (message) => tell({ event: "run-event", message }));
  return socket;
}

for (let client = 0; client < count; client++) sockets.push(connect(client));

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const order = JSON.parse(line);
    for (const socket of sockets) {
      if (order.emit) {
        socket.emit("run-event", order.emit, () =>
          process.stdout.write(JSON.stringify({ client: 0, event: "ack" }) + "\n")
        );
      }
      if (order.disconnect) socket.disconnect();
    }
  })
  .on("close", () => process.exit(0));
