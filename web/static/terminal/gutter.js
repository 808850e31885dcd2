// @ts-check
// What stands left of the terminal: time, line number, and a mark for stderr, for the rows in view.

import { h } from '../dom.js';

const MARKS = { stdout: '', stderr: 'E', remark: '' };

/** @param {number} timeMs */
function clock(timeMs) {
  const time = new Date(timeMs);
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const millis = String(time.getMilliseconds()).padStart(3, '0');
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${millis}`;
}

class Row {
  time = h('span', { className: 'rt-time' });
  number = h('span', { className: 'rt-number' });
  mark = h('span', { className: 'rt-mark' });
  element = h('div', { className: 'rt-row' }, this.time, this.number, this.mark);
  #shown = '';

  /** @param {ReturnType<import('./screen.js').Screen['visible']>[number]} line @param {boolean} numbers */
  show(line, numbers) {
    const key = line ? `${line.kind} ${line.first} ${line.number} ${line.timeMs} ${numbers}` : '';
    if (key === this.#shown) return;
    this.#shown = key;
    const first = line?.first ? line : null;
    this.element.dataset.kind = line?.kind ?? '';
    this.time.textContent = first ? clock(first.timeMs) : '';
    this.number.textContent = numbers && first?.number ? String(first.number) : '';
    this.mark.textContent = first ? MARKS[first.kind] : '';
  }
}

export class Gutter {
  element = h('div', { className: 'rt-gutter', ariaHidden: 'true' });
  #screen;
  /** @type {Row[]} */
  #rows = [];
  #asked = false;
  /** Line numbers are right only where the log was read from its start. */
  numbers = true;

  /** @param {import('./screen.js').Screen} screen */
  constructor(screen) {
    this.#screen = screen;
  }

  /** Draw with the next frame. */
  update() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
    });
  }

  #draw() {
    const lines = this.#screen.visible();
    while (this.#rows.length < lines.length) this.#rows.push(new Row());
    if (this.element.childElementCount !== lines.length) {
      this.element.replaceChildren(...this.#rows.slice(0, lines.length).map((row) => row.element));
    }
    this.element.dataset.numbers = this.numbers ? 'on' : 'off';
    this.element.style.setProperty('--rt-row', `${this.#screen.rowHeight}px`);
    lines.forEach((line, i) => this.#rows[i].show(line, this.numbers));
  }
}
