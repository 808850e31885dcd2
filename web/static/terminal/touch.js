// @ts-check
// Scrolling with a finger, which xterm.js 6.0 does not have.

const FRICTION = 0.95; // of its speed kept each frame
const SLOWEST = 0.02; // rows a frame

/**
 * @param {HTMLElement} element
 * @param {{scroll: (rows: number) => void, rowHeight: number}} screen
 */
export function scrollByTouch(element, screen) {
  let y = 0;
  let rest = 0;
  let speed = 0;
  let frame = 0;
  const move = (/** @type {number} */ rows) => {
    rest += rows;
    const whole = Math.trunc(rest);
    rest -= whole;
    if (whole !== 0) screen.scroll(whole);
  };
  const glide = () => {
    move(speed);
    speed *= FRICTION;
    if (Math.abs(speed) > SLOWEST) frame = requestAnimationFrame(glide);
  };
  element.addEventListener('touchstart', (event) => {
    cancelAnimationFrame(frame);
    [y, rest, speed] = [event.touches[0].clientY, 0, 0];
  }, { passive: true });
  element.addEventListener('touchmove', (event) => {
    if (event.touches.length > 1) return;
    const next = event.touches[0].clientY;
    speed = (y - next) / (screen.rowHeight || 1);
    y = next;
    move(speed);
    event.preventDefault();
  }, { passive: false });
  element.addEventListener('touchend', () => { frame = requestAnimationFrame(glide); });
}
