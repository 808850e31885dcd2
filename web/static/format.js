// @ts-check
// Facts in words for people. Pure.

const KIB = 1024;

/** @param {number} bytes */
export function formatBytes(bytes) {
  if (bytes < KIB) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / KIB;
  let unit = 0;
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= KIB;
    unit++;
  }
  return `${value < 99.95 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}

const SIZES = ['memory', 'core', 'stack', 'data'];

/** What a run may use: `memory 2.0 GiB, pids 200`. @param {Record<string, number>} limits */
export function formatLimits(limits) {
  const shown = Object.entries(limits).map(([name, value]) => {
    if (name === 'cpu_time_s') return `cpu_time ${formatDuration(value)}`;
    return `${name} ${SIZES.includes(name) ? formatBytes(value) : formatCount(value)}`;
  });
  return shown.join(', ');
}

/** A count with its thousands apart. @param {number} count */
export function formatCount(count) {
  return count.toLocaleString('en');
}

/** @param {number} count @param {string} noun */
export function plural(count, noun) {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** How long something took: `30 ms`, `0.3 s`, `12 s`, `3:04`, `1:00:00`, `2 d 3 h`. @param {number} seconds */
export function formatDuration(seconds) {
  if (seconds < 0.0995) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  return formatElapsed(Math.max(10, seconds));
}

/** How long something has taken so far, in whole seconds. @param {number} seconds */
export function formatElapsed(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  if (hours >= 24) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** How long ago, or in how long: `just now`, `12 s ago`, `3 min ago`. @param {number} ms */
export function formatAgo(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 3) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

/** Date and time here, to the second. @param {number} ms */
export function formatTime(ms) {
  return new Date(ms).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}

/** @typedef {import('./runs.js').Run} Run */

/** What runs: `python -m x`, as one would type it. @param {{command: string[] | null, shell: string | null}} spec */
export function formatCommand({ command, shell }) {
  if (shell !== null) return shell;
  return (command ?? []).map(quote).join(' ');
}

/** @param {string} word */
function quote(word) {
  if (/^[\w@%+=:./{}-]+$/.test(word)) return word;
  if (!/[\x00-\x1f]/.test(word)) return `'${word.replaceAll("'", "'\\''")}'`;
  return `$'${word.replaceAll(/[\\']/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\t', '\\t').replaceAll('\r', '\\r')}'`;
}

/** What a run is called: its job, else its command. @param {Run} run */
export function nameOf(run) {
  return run.job ?? formatCommand(run.spec);
}

/** How it ended: `0`, `3`, `SIGKILL`; empty if it has not, or never ran. @param {Run} run */
export function formatExit(run) {
  if (run.signal !== null) return signalName(run.signal);
  return run.exit_code === null ? '' : String(run.exit_code);
}

/** @param {string} name with or without SIG */
export function signalName(name) {
  return name.startsWith('SIG') ? name : `SIG${name}`;
}

/** @type {Record<string, string>} */
const REASONS = {
  exit_code: 'the program ended with an error',
  signal: 'killed by a signal',
  timeout: 'took longer than it may',
  queue_timeout: 'waited in the queue longer than it may',
  no_output_timeout: 'was silent longer than it may',
  start_failed: 'could not be started',
  memory_limit: 'used more memory than it may',
  output_limit: 'wrote more output than it may',
  need_failed: 'a job it needs failed',
  refused: 'was refused',
  lost: 'nobody saw how it ended: the server was gone',
  internal: 'Runwire had a fault',
};

/** Why a run failed, in a few words; empty if it did not. @param {Run} run */
export function formatReason(run) {
  if (run.reason === null) return '';
  return REASONS[run.reason] ?? run.reason;
}

/** Whether how it ended does not say why it failed. @param {Run} run */
export function needsReason(run) {
  return run.reason !== null && run.reason !== 'exit_code' && run.reason !== 'signal';
}
