// @ts-check
// The terminal of one run: xterm.js, fed by the mux, with an eye on which line stands where.

import { FitAddon } from '../vendor/addon-fit.mjs';
import { Unicode11Addon } from '../vendor/addon-unicode11.mjs';
import { WebLinksAddon } from '../vendor/addon-web-links.mjs';
import { Terminal } from '../vendor/xterm.mjs';
import { openWithoutStyleElements } from './csp-shim.js';
import { LineTable } from './lines.js';
import { Mux } from './mux.js';
import { PtyFilter } from './pty-filter.js';
import { pageIsDark, themeColours } from './theme.js';
import { leaves } from './typing.js';

/** More would cost memory (12 bytes a cell) and speed; what is older is in the log. */
export const SCROLLBACK = 10_000;

const LEAST_COLUMNS = 20;
const LABEL = 'Output; the arrow keys scroll';
const TYPING_LABEL = 'Terminal of the run; Control, Shift and Space leave it';

export class Screen {
  #terminal;
  #fit = new FitAddon();
  #mux = new Mux();
  /** Of a run on a terminal, which has the whole screen. @type {PtyFilter | null} */
  #pty = null;
  #typing = false;
  #lines = new LineTable();
  /** The lowest row that was written, wherever it moves. @type {any} */
  #marker = null;
  /** The line that ends on that row. */
  #line = 0;
  /** Nothing stands on that line yet. */
  #lineEmpty = true;
  #full = false;

  /**
   * @param {HTMLElement} parent
   * @param {{changed: () => void, typed: (text: string) => void}} listener `changed` is told when
   *   other rows are shown, or the same in other places, `typed` what was typed
   */
  constructor(parent, { changed, typed }) {
    this.#terminal = new Terminal({
      allowProposedApi: true, // for the widths of newer Unicode characters
      convertEol: true,
      cursorInactiveStyle: 'none',
      disableStdin: true, // silences every answer that a program could ask a terminal for
      fontFamily: getComputedStyle(parent).fontFamily,
      fontSize: Number.parseFloat(getComputedStyle(parent).fontSize),
      lineHeight: 1.25,
      logLevel: 'warn',
      minimumContrastRatio: 4.5,
      reflowCursorLine: true,
      scrollback: SCROLLBACK,
      theme: themeColours(pageIsDark()),
    });
    this.#terminal.loadAddon(this.#fit);
    this.#terminal.loadAddon(new Unicode11Addon());
    this.#terminal.unicode.activeVersion = '11';
    this.#terminal.loadAddon(new WebLinksAddon(openLink, {
      hover: () => { parent.title = 'Ctrl+click opens this link'; },
      leave: () => { parent.title = ''; },
    }));
    openWithoutStyleElements(this.#terminal, parent);
    this.#terminal.textarea?.setAttribute('aria-label', LABEL);
    // Without input, xterm.js would swallow Tab and every other key (WCAG 2.1.2).
    this.#terminal.attachCustomKeyEventHandler((/** @type {KeyboardEvent} */ event) => this.#typing && !leaves(event));
    this.#terminal.onScroll(changed);
    this.#terminal.onRender(changed);
    this.#terminal.onResize(changed);
    this.#terminal.onData(typed);
  }

  dispose() {
    this.#terminal.dispose();
  }

  /**
   * Show output; `done` is called once it is on the screen.
   * @param {import('../client/wire.js').Output} output
   * @param {() => void} done
   */
  output(output, done) {
    if (this.#pty) return this.#terminal.write(this.#pty.data(output.data), done);
    const fresh = this.#mux.lineEmpty;
    const text = this.#mux.data(output.type, output.data);
    this.#write(text, { fresh, kind: output.type, timeMs: output.timeMs }, done);
  }

  /** Show a remark of our own. @param {string} text @param {number} timeMs */
  remark(text, timeMs) {
    // There is no line between those of a program that has the whole screen.
    if (this.#pty) return;
    const fresh = this.#mux.lineEmpty;
    this.#write(this.#mux.remark(text), { fresh, kind: 'remark', timeMs });
  }

  /** No more output will come; `done` is called once all is on the screen. @param {() => void} done */
  end(done) {
    this.#terminal.write((this.#pty ?? this.#mux).end(), done);
  }

  /** Forget what is shown; line numbers go on. */
  clear() {
    this.#terminal.reset();
    this.#marker?.dispose();
    this.#marker = null;
    this.#full = false;
  }

  /**
   * @param {string} text
   * @param {{fresh: boolean, kind: import('./lines.js').LineKind, timeMs: number}} origin `fresh` if
   *   it begins on an empty line
   * @param {() => void} [done]
   */
  #write(text, { fresh, kind, timeMs }, done) {
    const empty = this.#mux.lineEmpty;
    this.#terminal.write(text, () => {
      // Writing is asynchronous: only now all earlier text has its lines.
      if (text !== '') this.#lines.begin(this.#line + (fresh ? 0 : 1), kind, timeMs);
      this.#settle(text);
      this.#lineEmpty = empty;
      done?.();
    });
  }

  /** Find out how many lines `text` has made. @param {string} text */
  #settle(text) {
    const buffer = this.#terminal.buffer.normal;
    const bottom = buffer.baseY + buffer.cursorY;
    if (buffer.baseY >= SCROLLBACK) this.#full = true;
    const before = this.#marker === null ? 0 : this.#marker.line;
    if (before < 0) this.#line += text.split('\n').length - 1; // it all scrolled away
    else {
      for (let row = before + 1; row <= bottom; row++) if (!buffer.getLine(row)?.isWrapped) this.#line++;
    }
    if (this.#marker !== null && before >= bottom) return;
    this.#marker?.dispose();
    this.#marker = this.#terminal.registerMarker(0) ?? null;
  }

  /** How many lines of output there were. */
  get lineCount() {
    return this.#lines.count(this.#line - (this.#lineEmpty ? 1 : 0));
  }

  /** How many escape sequences were dropped. */
  get hidden() {
    return (this.#pty ?? this.#mux).hidden;
  }

  /** Whether the oldest lines have made room for newer ones: they do not come back with more rows. */
  get full() {
    return this.#full;
  }

  /** Whether the last line is in view, and stays so as more come. */
  get atEnd() {
    const buffer = this.#terminal.buffer.active;
    return buffer.viewportY >= buffer.baseY;
  }

  /** The height of a row in CSS pixels; 0 before anything was drawn. */
  get rowHeight() {
    const screen = this.#terminal.element?.querySelector('.xterm-screen');
    return screen ? screen.clientHeight / this.#terminal.rows : 0;
  }

  get columns() {
    return this.#terminal.cols;
  }

  get rows() {
    return this.#terminal.rows;
  }

  /**
   * What is known of each visible row, top to bottom; null for a row below the last line.
   * `first` is false for the rows that a wrapped line goes on in.
   */
  visible() {
    const buffer = this.#terminal.buffer.active;
    const top = buffer.viewportY;
    const anchor = Math.max(0, this.#marker?.line ?? 0);
    let line = this.#line;
    for (let row = anchor; row > top; row--) if (!buffer.getLine(row)?.isWrapped) line--;
    const rows = [];
    for (let row = top; row < top + this.#terminal.rows; row++) {
      const wrapped = buffer.getLine(row)?.isWrapped ?? false;
      if (row > top && !wrapped) line++;
      const blank = (row > anchor && !wrapped) || (row === anchor && this.#lineEmpty);
      const known = blank ? null : this.#lines.at(line);
      rows.push(known && { ...known, first: !wrapped });
    }
    return rows;
  }

  /** From now on, what comes is of a run on a terminal of that size. @param {import('../runs.js').TerminalSize} size */
  becomeTerminal(size) {
    this.#pty = new PtyFilter();
    this.#terminal.options.convertEol = false;
    this.#terminal.options.cursorInactiveStyle = 'outline';
    this.recolour();
    this.resize(size);
  }

  /** Whether it shows a run on a terminal. */
  get isTerminal() {
    return this.#pty !== null;
  }

  /** The run's terminal has another size from here on. @param {import('../runs.js').TerminalSize} size */
  resize({ columns, rows }) {
    this.#terminal.write('', () => this.#terminal.resize(columns, rows));
  }

  /** Whether what is typed goes to the run. @param {boolean} on */
  set typing(on) {
    this.#typing = on;
    this.#terminal.options.disableStdin = !on;
    this.#terminal.textarea?.setAttribute('aria-label', on ? TYPING_LABEL : LABEL);
  }

  /** As many characters as the element has room for; null if that is not known. */
  get room() {
    const size = this.#fit.proposeDimensions();
    if (!size || Number.isNaN(size.cols) || size.rows < 1) return null;
    return { columns: Math.max(LEAST_COLUMNS, size.cols), rows: size.rows };
  }

  /** Take the size of the element; a run's terminal keeps its own. */
  fit() {
    const size = this.room;
    if (!size || this.#pty) return;
    const { viewportY, baseY } = this.#terminal.buffer.active;
    this.#terminal.resize(size.columns, size.rows);
    // Fewer rows would otherwise show others.
    if (viewportY === 0 && baseY > 0) this.toTop();
  }

  /** The colours of the page's theme. */
  recolour() {
    const colours = themeColours(pageIsDark());
    this.#terminal.options.theme = this.#pty ? { ...colours, cursor: colours.foreground } : colours;
  }

  focus() {
    this.#terminal.focus();
  }

  /** @param {number} lines downwards */
  scroll(lines) {
    this.#terminal.scrollLines(lines);
  }

  /** @param {number} pages downwards */
  scrollPages(pages) {
    this.#terminal.scrollPages(pages);
  }

  toTop() {
    this.#terminal.scrollToTop();
  }

  toEnd() {
    this.#terminal.scrollToBottom();
  }

  /** The text that is in the terminal, wrapped lines made whole: for tests. */
  text() {
    const buffer = this.#terminal.buffer.active;
    let text = '';
    for (let row = 0; row < buffer.length; row++) {
      const line = buffer.getLine(row);
      if (row > 0 && !line?.isWrapped) text += '\n';
      text += line?.translateToString(true) ?? '';
    }
    return text.trimEnd();
  }
}

/** @param {MouseEvent} event @param {string} address */
function openLink(event, address) {
  if ((event.ctrlKey || event.metaKey) && /^https?:\/\//i.test(address)) {
    window.open(address, '_blank', 'noopener,noreferrer');
  }
}
