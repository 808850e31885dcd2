// @ts-check
// The colours and styles that one stream has switched on (SGR, ECMA-48 8.3.117).

/** Bold, dim, italic, underlined, inverse, struck out, overlined. Blinking and hiding are not. */
const SWITCHES = new Set([1, 2, 3, 4, 7, 9, 53]);
/** What switches them off. @type {Record<number, number[]>} */
const OFF = { 22: [1, 2], 23: [3], 24: [4], 27: [7], 29: [9], 55: [53] };
const DIM = 2;
const GREY = '90';
const EXTENDED = { 38: 'foreground', 48: 'background', 58: 'none' };

export class Style {
  /** @type {Set<number>} */
  #switches = new Set();
  #colours = { foreground: '', background: '', none: '' };
  /** @type {string} */
  #code;
  #base;

  /** @param {string} base the colour that the default foreground stands for, as an SGR parameter */
  constructor(base) {
    this.#base = base;
    this.#code = this.#encode();
  }

  /** The sequence that switches a terminal to exactly this. */
  get code() {
    return this.#code;
  }

  /** @param {string} parameters as between CSI and `m`; what is not understood is left out */
  apply(parameters) {
    const words = parameters.split(';');
    for (let i = 0; i < words.length; i++) {
      const number = words[i] === '' ? 0 : Number.parseInt(words[i], 10);
      if (number === 38 || number === 48 || number === 58) i += this.#extended(number, words, i);
      else if (words[i].includes(':')) this.#underline(words[i]);
      else this.#simple(number);
    }
    this.#code = this.#encode();
  }

  /** @param {number} number */
  #simple(number) {
    const is = (/** @type {number} */ from, /** @type {number} */ to) => number >= from && number <= to;
    if (number === 0) {
      this.#switches.clear();
      this.#colours.foreground = this.#colours.background = '';
    } else if (SWITCHES.has(number)) this.#switches.add(number);
    else if (number === 21) this.#switches.add(4);
    else if (number in OFF) for (const off of OFF[number]) this.#switches.delete(off);
    else if (is(30, 37) || is(90, 97)) this.#colours.foreground = String(number);
    else if (is(40, 47) || is(100, 107)) this.#colours.background = String(number);
    else if (number === 39) this.#colours.foreground = '';
    else if (number === 49) this.#colours.background = '';
  }

  /** `4:3` is a kind of underline, `4:0` is none. @param {string} word */
  #underline(word) {
    if (!/^4:[0-9]$/.test(word)) return;
    if (word === '4:0') this.#switches.delete(4);
    else this.#switches.add(4);
  }

  /**
   * A colour of 256, `38;5;N` or `38:5:N`, or of all, `38;2;R;G;B` or `38:2::R:G:B`.
   * @param {38 | 48 | 58} number @param {string[]} words @param {number} at
   * @returns {number} how many words more than the first it took
   */
  #extended(number, words, at) {
    const inside = words[at].split(':').slice(1);
    const colons = inside.length > 0;
    const kind = colons ? inside[0] : words[at + 1];
    const count = kind === '5' ? 1 : kind === '2' ? 3 : 0;
    // With colons, a colour space may stand before the colour.
    const values = colons ? inside.slice(-count) : words.slice(at + 2, at + 2 + count);
    const whole = count > 0 && values.length === count && (!colons || inside.length > count);
    if (whole && values.every((value) => /^[0-9]{0,3}$/.test(value) && Number(value) < 256)) {
      this.#colours[/** @type {'foreground' | 'background' | 'none'} */ (EXTENDED[number])] =
        [number, kind, ...values.map(Number)].join(';');
    }
    return colons ? 0 : Math.min(1 + count, words.length - 1 - at);
  }

  #encode() {
    const { foreground, background } = this.#colours;
    // Dim text as a terminal draws it has too little contrast to be read; grey has enough.
    const switches = [...this.#switches].filter((number) => number !== DIM).sort((a, b) => a - b);
    const dim = this.#switches.has(DIM) ? GREY : '';
    const all = ['0', foreground || this.#base || dim, background, ...switches];
    return `\x1b[${all.filter((word) => word !== '').join(';')}m`;
  }
}
