// @ts-check
// Has a page load the styles of the terminal, unless it did so itself.

const SHEETS = ['../vendor/xterm.css', '../styles/terminal.css'].map((path) => new URL(path, import.meta.url).href);

/** @returns {Promise<void>} resolved once the styles apply, or cannot be had */
export async function loadStyles() {
  await Promise.all(SHEETS.map(async (href) => {
    const there = [...document.styleSheets].some((sheet) => sheet.href === href);
    if (there) return;
    const link = document.createElement('link');
    link.rel = 'stylesheet';
    link.href = href;
    const settled = new Promise((resolve) => { link.onload = link.onerror = resolve; });
    document.head.append(link);
    await settled;
  }));
}
