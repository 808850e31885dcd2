// Sockets that a test opens, feeds and breaks, and a clock that it moves.

/** @implements {Partial<WebSocket>} */
class FakeSocket {
  readyState = 0;
  /** What the client sent. @type {any[]} */
  sent = [];
  /** @type {number | undefined} */
  closedWith;

  /** @param {string} url @param {string[]} protocols */
  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closedWith = code;
    this.readyState = 2;
  }

  // --- the server's side ---

  accept() {
    this.readyState = 1;
    this.onopen({});
    return this.sent[0];
  }

  /** @param {object | ArrayBuffer} message */
  say(message) {
    this.onmessage({ data: message instanceof ArrayBuffer ? message : JSON.stringify(message) });
  }

  /** @param {number} code @param {string} [reason] */
  break(code, reason = '') {
    this.readyState = 3;
    this.onclose({ code, reason });
  }
}

export class FakeWorld {
  /** @type {FakeSocket[]} */
  sockets = [];
  /** @type {{at: number, work: () => void}[]} */
  #timers = [];
  now = 0;

  get last() {
    return this.sockets[this.sockets.length - 1];
  }

  open(url, protocols) {
    this.sockets.push(new FakeSocket(url, protocols));
    return this.last;
  }

  after(work, ms) {
    const timer = { at: this.now + ms, work };
    this.#timers.push(timer);
    return timer;
  }

  forget(timer) {
    this.#timers = this.#timers.filter((other) => other !== timer);
  }

  chance() {
    return 1;
  }

  /** Let time pass, and do what is due. @param {number} ms */
  pass(ms) {
    const until = this.now + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.now = next.at;
      this.forget(next);
      next.work();
    }
    this.now = until;
  }
}

/** Output in the binary form. @param {...[kind: number, offset: number, text: string]} frames */
export function binary(...frames) {
  const parts = frames.map(([kind, offset, text]) => {
    const data = new TextEncoder().encode(text);
    const head = new DataView(new ArrayBuffer(21));
    head.setUint8(0, kind);
    head.setBigUint64(1, BigInt(offset));
    head.setBigInt64(9, 1_500_000n);
    head.setUint32(17, data.length);
    return [new Uint8Array(head.buffer), data];
  });
  return new Uint8Array(parts.flat().flatMap((part) => [...part])).buffer;
}
