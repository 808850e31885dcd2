// @ts-check
// Where each line came from and when. Pure. Lines are counted as they stand in the terminal, before
// wrapping; remarks of our own stand between them and have no number.

/** @typedef {'stdout' | 'stderr' | 'remark'} LineKind */
/** @typedef {{line: number, number: number, kind: LineKind, timeMs: number}} Segment */

const MOST = 24_000;
const KEPT = 12_000;

export class LineTable {
  /** Each tells of its line and those up to the next segment's. @type {Segment[]} */
  #segments = [];

  /**
   * From `line` on, lines came so.
   * @param {number} line not before those of earlier calls
   * @param {LineKind} kind @param {number} timeMs
   */
  begin(line, kind, timeMs) {
    const last = this.#segments[this.#segments.length - 1];
    if (last && last.line === line) {
      last.kind = kind;
      last.timeMs = timeMs;
      return;
    }
    let number = line + 1;
    if (last) number = last.number + (last.kind === 'remark' ? 0 : line - last.line);
    this.#segments.push({ line, number, kind, timeMs });
    if (this.#segments.length > MOST) this.#segments = this.#segments.slice(-KEPT);
  }

  /**
   * @param {number} line
   * @returns {{number: number | null, kind: LineKind, timeMs: number} | null} null if not known
   */
  at(line) {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#segments[middle].line <= line) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return null;
    const { number, kind, timeMs, line: first } = this.#segments[low - 1];
    return { number: kind === 'remark' ? null : number + line - first, kind, timeMs };
  }

  /** How many numbered lines there are up to and with `line`. @param {number} line */
  count(line) {
    for (let i = this.#segments.length - 1; i >= 0; i--) {
      const { number, kind, line: first } = this.#segments[i];
      if (first <= line) return kind === 'remark' ? number - 1 : number + line - first;
    }
    return 0;
  }
}
