// @ts-check
// Cuts one stream's text into what may be shown and what may not.
// An allow-list: text, a few cursor movements within a line's neighbourhood, and colours. All else
// is dropped and counted. Nothing here depends on how the text was cut into chunks.

const ESC = '\x1b';
const MAX_SEQUENCE = 256; // characters; a control sequence that goes on is none
const MAX_STRING = 4096; // characters; a string (OSC, DCS, ...) that goes on is let out as text

/** Anything that is not plain text: controls but \b \t \n \r, DEL, and the 8-bit controls. */
const SPECIAL = /[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f]/g;
/** How a string ends: by BEL or ST as it should, by another sequence, or with the line. */
const STRING_END = /[\x07\x0a\x18\x1a\x1b\x9c]/g;

const STRING_OPENERS = new Set([']', 'P', 'X', '^', '_']);
const STRING_OPENERS_8BIT = new Set(['\x90', '\x98', '\x9d', '\x9e', '\x9f']);
/** Cursor up, down, right, left, next line, line before, column; erase and edit within the line. */
const MOVES = new Set(['A', 'B', 'C', 'D', 'E', 'F', 'G', 'K', 'P', 'X', '@']);

/**
 * What the text consists of, in order.
 * @typedef {object} Sink
 * @property {(text: string) => void} text printable characters and \b \t \n \r
 * @property {(parameters: string) => void} sgr colours and styles, as between CSI and `m`
 * @property {(final: string, count: string) => void} move a movement or an edit, with its number
 * @property {() => void} hidden something was dropped
 */

/** The escape sequences of one stream, whatever the chunks. */
export class EscapeParser {
  /** @type {'text' | 'escape' | 'charset' | 'csi' | 'string'} */
  #state = 'text';
  /** What came of the sequence so far; of a string, only its length counts. */
  #held = '';
  #length = 0;

  /**
   * @param {string} text
   * @param {Sink} sink
   */
  parse(text, sink) {
    let at = 0;
    while (at < text.length) {
      switch (this.#state) {
        case 'text': at = this.#text(text, at, sink); break;
        case 'escape': at = this.#escape(text, at, sink); break;
        case 'charset': at = this.#charset(text, at, sink); break;
        case 'csi': at = this.#csi(text, at, sink); break;
        case 'string': at = this.#string(text, at, sink); break;
      }
    }
  }

  /** @param {string} text @param {number} at @param {Sink} sink */
  #text(text, at, sink) {
    SPECIAL.lastIndex = at;
    const found = SPECIAL.exec(text);
    const end = found ? found.index : text.length;
    if (end > at) sink.text(text.slice(at, end));
    if (!found) return end;
    const control = found[0];
    if (control === ESC) this.#state = 'escape';
    else if (control === '\x9b') this.#begin('csi');
    else if (STRING_OPENERS_8BIT.has(control)) this.#begin('string');
    else sink.hidden();
    return end + 1;
  }

  /** @param {string} text @param {number} at @param {Sink} sink */
  #escape(text, at, sink) {
    const next = text[at];
    this.#state = 'text';
    if (next === '[') this.#begin('csi');
    else if (STRING_OPENERS.has(next)) this.#begin('string');
    else if (next >= ' ' && next <= '/') this.#state = 'charset';
    else {
      sink.hidden();
      if (next === '\\') return at + 1;
      // A control or a letter outside ASCII does not belong to the sequence.
      return next >= '0' && next <= '~' ? at + 1 : at;
    }
    return at + 1;
  }

  /** @param {string} text @param {number} at @param {Sink} sink */
  #charset(text, at, sink) {
    const next = text[at];
    if (next >= ' ' && next <= '/') return at + 1;
    this.#state = 'text';
    sink.hidden();
    return next >= '0' && next <= '~' ? at + 1 : at;
  }

  /** @param {string} text @param {number} at @param {Sink} sink */
  #csi(text, at, sink) {
    for (; at < text.length; at++) {
      const next = text[at];
      if (next >= '@' && next <= '~') {
        this.#state = 'text';
        this.#control(this.#held, next, sink);
        return at + 1;
      }
      if (next < ' ' || next > '?' || this.#held.length === MAX_SEQUENCE) {
        this.#state = 'text';
        sink.hidden();
        return at;
      }
      this.#held += next;
    }
    return at;
  }

  /** @param {string} parameters @param {string} final @param {Sink} sink */
  #control(parameters, final, sink) {
    if (final === 'm' && /^[0-9;:]*$/.test(parameters)) sink.sgr(parameters);
    else if (MOVES.has(final) && /^[0-9]*$/.test(parameters)) sink.move(final, parameters);
    else if (final === 'J' && /^0*$/.test(parameters)) sink.move(final, '');
    else sink.hidden();
  }

  /** @param {string} text @param {number} at @param {Sink} sink */
  #string(text, at, sink) {
    STRING_END.lastIndex = at;
    const found = STRING_END.exec(text);
    const end = found ? found.index : text.length;
    const room = MAX_STRING - this.#length;
    if (end - at > room) {
      this.#state = 'text';
      sink.hidden();
      return at + room;
    }
    this.#length += end - at;
    if (!found) return end;
    sink.hidden();
    this.#state = 'text';
    if (found[0] === '\n') return end;
    if (found[0] === ESC) this.#state = 'escape';
    return end + 1;
  }

  /** @param {'csi' | 'string'} state */
  #begin(state) {
    this.#state = state;
    this.#held = '';
    this.#length = 0;
  }
}
