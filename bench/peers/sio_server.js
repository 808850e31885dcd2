// Node peer: child_process.spawn + socket.io 4, "run-event" {type, data} broadcast.
// usage: node sio_server.js PORT CLIENTS CMD [ARGS...]
// Starts CMD once CLIENTS sockets are connected, streams, exits after the child has
// closed and every client has gone.
const http = require('http');
const { spawn } = require('child_process');
const { Server } = require('socket.io');
const [port, want, cmd, ...args] = process.argv.slice(2);
const srv = http.createServer();
const io = new Server(srv, { transports: ['websocket'], serveClient: false, maxHttpBufferSize: 1e8 });
let here = 0, started = false, ended = false;
io.on('connection', (s) => {
  here++;
  s.on('disconnect', () => { if (--here === 0 && ended) process.exit(0); });
  if (here >= +want && !started) { started = true; start(); }
});
function start() {
  const p = spawn(cmd, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  p.stdout.on('data', (d) => io.emit('run-event', { type: 'stdout', data: d.toString() }));
  p.stderr.on('data', (d) => io.emit('run-event', { type: 'stderr', data: d.toString() }));
  p.on('close', (code) => { ended = true; io.emit('run-event', { type: 'exit', data: code }); });
}
srv.listen(+port, '127.0.0.1', () => console.log(srv.address().port));
