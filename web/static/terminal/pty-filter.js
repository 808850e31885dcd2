// @ts-check
// What a run on a terminal puts out, as text for a terminal that only shows it. Nearly all passes, for
// the program has the whole screen; what does not is dropped and counted: whatever asks the terminal
// for an answer (each viewer's would be typed into the run), reaches beyond it (titles, clipboard,
// links with another text, the mouse) or wipes what has scrolled away. Pure: no DOM.

const MAX_SEQUENCE = 256; // characters; a control sequence that goes on is none
const MAX_STRING = 4096; // characters; a string (OSC, DCS, ...) that goes on is let out as text

/** Controls that are let through are not in here. */
const SPECIAL = /[\x00-\x06\x10-\x1f\x7f-\x9f]/g;
const CSI = /\x1b\[([0-?]*)([ -\/]*)([@-~])/y;
const CSI_BEGUN = /\x1b\[[0-?]*[ -\/]*$/y;
const SHORT = /\x1b([ -\/]*)([0-~])/y;
const SHORT_BEGUN = /\x1b[ -\/]*$/y;
/** OSC, DCS, SOS, PM and APC: up to BEL or ST, or what cannot stand in one. */
const STRING = /\x1b[\]PX^_]([^\x07\n\x18\x1a\x1b]*)(\x07|\x1b\\|[\n\x18\x1a]|\x1b[^\\])/y;
const STRING_BEGUN = /\x1b[\]PX^_][^\x07\n\x18\x1a\x1b]*\x1b?$/y;

const NUMBERS = /^[0-9]{0,4}(;[0-9]{0,4})*$/;
/** Cursor, erasing, inserting, deleting, scrolling, tabs, repeating, margins. */
const PLAIN = new Set('@ABCDEFGHIJKLMPSTXZ`abdefgrsu');
const SHORTS = new Set(['7', '8', 'D', 'E', 'H', 'M', '=', '>', '(0', '(A', '(B', ')0', ')A', ')B']);
/** Cursor keys, origin, wrapping, cursor, screens, bracketed paste, whole frames. */
const MODES = new Set(['1', '6', '7', '12', '25', '47', '1047', '1048', '1049', '2004', '2026']);
const RESET = '\x1b[!p\x1b[H\x1b[2J';

export class PtyFilter {
  #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  /** The beginning of a sequence whose rest has not come. */
  #held = '';
  #hidden = 0;

  /** How many escape sequences and controls were dropped. */
  get hidden() {
    return this.#hidden;
  }

  /**
   * @param {Uint8Array | string} data bytes, or text with no character cut
   * @returns {string} what to write to the terminal
   */
  data(data) {
    return this.#filter(typeof data === 'string' ? data : this.#decoder.decode(data, { stream: true }));
  }

  /** What is left when no more will come. */
  end() {
    const rest = this.#filter(this.#decoder.decode());
    if (this.#held !== '') this.#hidden++;
    this.#held = '';
    return rest;
  }

  /** @param {string} fresh */
  #filter(fresh) {
    const text = this.#held + fresh;
    this.#held = '';
    let out = '';
    let at = 0;
    while (at < text.length) {
      SPECIAL.lastIndex = at;
      const found = SPECIAL.exec(text);
      const end = found ? found.index : text.length;
      out += text.slice(at, end);
      at = end;
      if (!found) break;
      if (found[0] !== '\x1b') {
        this.#hidden++;
        at++;
        continue;
      }
      const [passed, length] = this.#sequence(text, at);
      if (length === 0) {
        this.#held = text.slice(at);
        break;
      }
      out += passed;
      at += length;
    }
    return out;
  }

  /**
   * The sequence that begins at `at`: what passes of it, and its length; 0 if its rest is missing.
   * @param {string} text @param {number} at @returns {[string, number]}
   */
  #sequence(text, at) {
    const string = match(STRING, text, at);
    if (string) {
      this.#hidden++;
      const ended = string[2] === '\x07' || string[2] === '\x1b\\';
      return ['', string[0].length - (ended ? 0 : string[2].length)];
    }
    const left = text.length - at;
    if (left <= MAX_STRING && match(STRING_BEGUN, text, at)) return ['', 0];
    const csi = match(CSI, text, at);
    if (csi) return [this.#control(csi), csi[0].length];
    if (left <= MAX_SEQUENCE && match(CSI_BEGUN, text, at)) return ['', 0];
    // What begins a longer one, and did not become it, is no sequence.
    const short = '[]PX^_'.includes(text[at + 1] ?? '') && left > 1 ? null : match(SHORT, text, at);
    if (short) return [this.#short(short), short[0].length];
    if (left <= MAX_SEQUENCE && match(SHORT_BEGUN, text, at)) return ['', 0];
    this.#hidden++;
    return ['', 1];
  }

  /** @param {RegExpExecArray} csi @returns {string} */
  #control([all, parameters, between, final]) {
    if (final === 'm' && between === '' && /^[0-9;:]*$/.test(parameters)) return all;
    if (between === '' && NUMBERS.test(parameters)) {
      if (final === 'J' ? /^[0-2]?$/.test(parameters) : PLAIN.has(final)) return all;
      if ((final === 'h' || final === 'l') && parameters === '4') return all;
    }
    if (between === '' && parameters.startsWith('?') && (final === 'h' || final === 'l')) {
      if (parameters.slice(1).split(';').every((mode) => MODES.has(mode))) return all;
    }
    if ((between === '!' && final === 'p' && parameters === '') || (between === ' ' && final === 'q' && /^[0-6]?$/.test(parameters))) return all;
    this.#hidden++;
    return '';
  }

  /** @param {RegExpExecArray} short @returns {string} */
  #short([all, between, final]) {
    if (SHORTS.has(between + final)) return all;
    if (between === '' && final === 'c') return RESET;
    if (!(between === '' && final === '\\')) this.#hidden++;
    return '';
  }
}

/** @param {RegExp} pattern sticky @param {string} text @param {number} at */
function match(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}
