// @ts-check
// What is typed, on its way to a run: one message at a time, the next when the answer has come.

/** Far below what a server holds of input that waits. */
const MESSAGE_CHARACTERS = 4096;

/** @typedef {import('./wire.js').InputAnswer} InputAnswer */

export class Keys {
  #send;
  #refused;
  #waiting = '';
  #asked = false;

  /**
   * @param {(text: string) => boolean} send whether it could be sent
   * @param {(answer: InputAnswer) => void} refused the run does not take what is typed
   */
  constructor(send, refused) {
    this.#send = send;
    this.#refused = refused;
  }

  /** @param {string} text */
  type(text) {
    this.#waiting += text;
    this.#next();
  }

  /** @param {InputAnswer} answer */
  answered(answer) {
    this.#asked = false;
    if (answer.code !== undefined) {
      this.#waiting = '';
      this.#refused(answer);
    }
    this.#next();
  }

  /** The connection is gone, and nobody knows what of it was taken: nothing is typed twice. */
  forget() {
    this.#waiting = '';
    this.#asked = false;
  }

  #next() {
    if (this.#asked || this.#waiting === '') return;
    let end = Math.min(this.#waiting.length, MESSAGE_CHARACTERS);
    // Both halves of a character are one character.
    if (end < this.#waiting.length && /[\ud800-\udbff]/.test(this.#waiting[end - 1])) end--;
    const text = this.#waiting.slice(0, end);
    this.#waiting = this.#waiting.slice(end);
    this.#asked = this.#send(text);
    if (!this.#asked) this.#waiting = '';
  }
}
