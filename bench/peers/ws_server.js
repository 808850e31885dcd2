// Node peer: child_process.spawn + ws 8, one JSON (or binary) message per pipe chunk.
// usage: node ws_server.js PORT CLIENTS CMD [ARGS...]     env FORMAT=json|bin  BACKPRESSURE=1
// BACKPRESSURE=1 pauses the child's stdout while any client has more than 1 MiB queued.
const http = require('http');
const { spawn } = require('child_process');
const { WebSocketServer } = require('ws');
const [port, want, cmd, ...args] = process.argv.slice(2);
const json = (process.env.FORMAT || 'json') === 'json', bp = process.env.BACKPRESSURE === '1';
const srv = http.createServer();
const wss = new WebSocketServer({ server: srv });
let started = false, ended = false;
wss.on('connection', (ws) => {
  ws.on('close', () => { if (wss.clients.size === 0 && ended) process.exit(0); });
  ws.on('error', () => {});
  if (wss.clients.size >= +want && !started) { started = true; start(); }
});
function broadcast(type, d) {
  const m = json ? JSON.stringify({ type, data: Buffer.isBuffer(d) ? d.toString() : d }) : d;
  for (const c of wss.clients) if (c.readyState === 1) c.send(m);
}
function start() {
  const p = spawn(cmd, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  p.stdout.on('data', (d) => {
    broadcast('stdout', d);
    if (bp && [...wss.clients].some((c) => c.bufferedAmount > 1 << 20)) {
      p.stdout.pause();
      const poll = () => [...wss.clients].some((c) => c.bufferedAmount > 1 << 18) ? setTimeout(poll, 1) : p.stdout.resume();
      setTimeout(poll, 1);
    }
  });
  p.stderr.on('data', (d) => broadcast('stderr', d));
  p.on('close', (code) => { ended = true; if (json) broadcast('exit', code); });
}
srv.listen(+port, '127.0.0.1', () => console.log(srv.address().port));
