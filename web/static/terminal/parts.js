// @ts-check
// Cutting a large log into parts that fit into the terminal. Pure.

/** Half of what the terminal holds, since a narrower window needs more rows. */
export const PART_ROWS = 5000;

const TAB = 9;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const TAB_COLUMNS = 8;

/**
 * How much of `data` takes up no more than `rows` rows, whatever it is: up to the end of a line if
 * one fits. What a terminal does not show counts as if it did.
 * @param {Uint8Array} data from the beginning of a row
 * @param {number} rows @param {number} columns
 * @returns {{length: number, rows: number}} bytes, and the rows that they may take up
 */
export function fitting(data, rows, columns) {
  if (rows < 1) return { length: 0, rows: 0 };
  let used = 1;
  let column = 0;
  let whole = { length: 0, rows: 0 };
  for (let i = 0; i < data.length; i++) {
    const byte = data[i];
    if (byte === LINE_FEED) {
      whole = { length: i + 1, rows: used };
      if (used === rows) return whole;
      used++;
      column = 0;
    } else if (byte === CARRIAGE_RETURN) column = 0;
    else {
      const width = byte === TAB ? TAB_COLUMNS : 1;
      column += width;
      if (column <= columns) continue;
      if (used === rows) return whole.length > 0 ? whole : { length: i, rows };
      used++;
      column = width;
    }
  }
  return { length: data.length, rows: column === 0 ? used - 1 : used };
}

/** @typedef {import('../client/wire.js').Output} Output */

/**
 * Two pieces of one output.
 * @param {Output & {data: Uint8Array}} output @param {number} length of the first, in bytes
 * @returns {[Output & {data: Uint8Array}, Output & {data: Uint8Array}]}
 */
export function split(output, length) {
  const middle = output.offset + length;
  return [
    { ...output, next: middle, data: output.data.subarray(0, length) },
    { ...output, offset: middle, data: output.data.subarray(length) },
  ];
}
