// @ts-check
// What happens to all runs that a token may see, from now on, whatever happens to the connection.

import { Connection } from './connection.js';

/**
 * @typedef {object} FeedReceiver
 * @property {(message: import('./wire.js').FeedMessage) => void} event
 * @property {() => void} [begin] what happens from now on will be told
 * @property {(state: import('./connection.js').ConnectionState) => void} [state]
 */

export class RunFeed {
  #connection;
  /** @type {number | null} */
  #seq = null;

  /**
   * @param {{url: string | URL, token: string | null, world?: import('./connection.js').World}} options
   * @param {FeedReceiver} receiver
   */
  constructor({ url, token, world }, receiver) {
    this.#connection = new Connection({
      url, token, world,
      owner: {
        hello: () => (this.#seq === null ? {} : { since: this.#seq }),
        message: (message) => {
          if (message.type === 'hello') {
            this.#seq ??= message.seq;
            receiver.begin?.();
          } else if (message.type === 'event' && message.seq > (this.#seq ?? -1)) {
            this.#seq = message.seq;
            receiver.event(message);
          }
        },
        state: (state) => receiver.state?.(state),
      },
    });
  }

  start() {
    this.#connection.connect();
  }

  close() {
    this.#connection.close();
  }

  hurry() {
    this.#connection.hurry();
  }

  /** @param {string | null} token */
  renew(token) {
    this.#connection.renew(token);
  }
}
