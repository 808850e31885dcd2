// @ts-check
// Two streams and our own remarks as one text for a terminal, without either spoiling the other.
// Each stream has its own decoder, escape parser and colours. When the stream changes in the middle
// of a line, the line is ended first. What comes out depends on what came in and in which order the
// streams took turns, never on how the chunks were cut. Pure: no DOM.

import { EscapeParser } from './escapes.js';
import { Style } from './style.js';

/** @typedef {'stdout' | 'stderr'} StreamName */

const PLAIN = '\x1b[0m';
/** SGR parameters: the theme says what these look like. */
const BASE = { stdout: '', stderr: '91' };
const REMARK = '\x1b[0;36m';
const PREFIX = '▸ ';
/** Movements that leave an empty line empty, and the cursor where it was on it. */
const ERASING = new Set(['D', 'J', 'K', 'P', 'X']);
const CONTROLS = /[\x00-\x1f\x7f-\x9f]+/g;

class Stream {
  /** @param {string} base */
  constructor(base) {
    this.style = new Style(base);
    this.parser = new EscapeParser();
    this.decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    /** Its line was ended for it, so that its own end of line is not due any more. */
    this.cut = false;
  }
}

export class Mux {
  #streams = { stdout: new Stream(BASE.stdout), stderr: new Stream(BASE.stderr) };
  /** Whose text the cursor's line is. @type {Stream | null} */
  #current = null;
  /** The style that the terminal has. */
  #style = PLAIN;
  #lineEmpty = true;
  /** Lines that the current stream has written in one go, which is how far up it may move. */
  #depth = 0;
  /** How many lines above the lowest one the cursor is. */
  #up = 0;
  /** @type {string[]} */
  #out = [];
  #hidden = 0;

  /** How many escape sequences and controls were dropped. */
  get hidden() {
    return this.#hidden;
  }

  /** Whether the next text begins on a line on which nothing stands yet. */
  get lineEmpty() {
    return this.#lineEmpty;
  }

  /**
   * @param {StreamName} name
   * @param {Uint8Array | string} data bytes, or text with no character cut
   * @returns {string} what to write to the terminal
   */
  data(name, data) {
    const stream = this.#streams[name];
    this.#parse(stream, typeof data === 'string' ? data : stream.decoder.decode(data, { stream: true }));
    return this.#take();
  }

  /** What is left when no more will come: unfinished characters. */
  end() {
    for (const stream of Object.values(this.#streams)) this.#parse(stream, stream.decoder.decode());
    return this.#take();
  }

  /**
   * A remark of our own, on a line of its own.
   * @param {string} text
   * @returns {string} what to write to the terminal
   */
  remark(text) {
    this.#endLine();
    this.#current = null;
    this.#depth = 0;
    this.#out.push(REMARK, PREFIX, PLAIN, text.replace(CONTROLS, ' '), '\n');
    this.#style = PLAIN;
    return this.#take();
  }

  #take() {
    const out = this.#out.join('');
    this.#out = [];
    return out;
  }

  /** @param {Stream} stream @param {string} text */
  #parse(stream, text) {
    stream.parser.parse(text, {
      text: (piece) => this.#text(stream, piece),
      sgr: (parameters) => stream.style.apply(parameters),
      move: (final, count) => this.#move(stream, final, count),
      hidden: () => { this.#hidden++; },
    });
  }

  /** @param {Stream} stream @param {string} text */
  #text(stream, text) {
    const rest = stream.cut ? afterCut(text) : text;
    if (rest === null) return;
    stream.cut = false;
    if (rest === '') return;
    this.#enter(stream);
    this.#out.push(rest);
    this.#count(rest);
  }

  /** @param {string} text */
  #count(text) {
    let lines = 0;
    let last = -1;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) {
      lines++;
      last = at;
    }
    const below = Math.min(lines, this.#up);
    this.#up -= below;
    this.#depth += lines - below;
    const tail = last < 0 ? text : text.slice(last + 1);
    const blank = /^\r*$/.test(tail);
    if (last >= 0) this.#lineEmpty = blank && this.#up === 0;
    else if (!blank) this.#lineEmpty = false;
  }

  /** @param {Stream} stream @param {string} final @param {string} count */
  #move(stream, final, count) {
    stream.cut = false;
    this.#enter(stream);
    const wished = Math.max(1, Number(count) || 1);
    let number = count;
    if (final === 'A' || final === 'F') number = this.#vertical(-Math.min(wished, this.#depth - this.#up));
    else if (final === 'B' || final === 'E') number = this.#vertical(Math.min(wished, this.#up));
    if (final === 'E' || final === 'F') this.#out.push('\r');
    if (number === '0' && 'ABEF'.includes(final)) return;
    if (!ERASING.has(final)) this.#lineEmpty = false;
    if (number.length > 4) number = '9999';
    this.#out.push(`\x1b[${number}${{ E: 'B', F: 'A' }[final] ?? final}`);
  }

  /** Note a movement by `lines`, which are downwards. @param {number} lines */
  #vertical(lines) {
    this.#up -= lines;
    return String(Math.abs(lines));
  }

  /** Make the terminal this stream's, as the stream left it. @param {Stream} stream */
  #enter(stream) {
    if (this.#current !== stream) {
      this.#endLine();
      this.#current = stream;
      this.#depth = 0;
    }
    if (this.#style !== stream.style.code) {
      this.#out.push(stream.style.code);
      this.#style = stream.style.code;
    }
  }

  /** Have the cursor on an empty line below everything. */
  #endLine() {
    if (this.#up > 0) this.#out.push(`\x1b[${this.#up}B`);
    this.#up = 0;
    if (this.#lineEmpty) return;
    if (this.#current) this.#current.cut = true;
    if (this.#style !== PLAIN) this.#out.push(PLAIN);
    this.#style = PLAIN;
    this.#out.push('\n');
    this.#lineEmpty = true;
  }
}

/**
 * The text of a stream whose line was ended for it, without the end of line that stands first; null
 * if it cannot be told yet.
 * @param {string} text
 */
function afterCut(text) {
  const start = text.search(/[^\r]/);
  if (start < 0) return null;
  return text.slice(text[start] === '\n' ? start + 1 : start);
}
