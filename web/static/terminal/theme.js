// @ts-check
// The terminal's colours. The default foreground is stdout; bright red is stderr, cyan our remarks.
// Each is readable on the background (WCAG AA), and xterm.js mends what a program chose badly.

const DARK = {
  background: '#0d1117', foreground: '#e6edf3', cursor: '#0d1117', selectionBackground: '#264f78',
  scrollbarSliderBackground: '#6e768166', scrollbarSliderHoverBackground: '#6e7681aa', scrollbarSliderActiveBackground: '#8b949e',
  black: '#484f58', red: '#ff7b72', green: '#3fb950', yellow: '#d29922',
  blue: '#58a6ff', magenta: '#bc8cff', cyan: '#39c5cf', white: '#c9d1d9',
  brightBlack: '#8b949e', brightRed: '#ff8e88', brightGreen: '#56d364', brightYellow: '#e3b341',
  brightBlue: '#79c0ff', brightMagenta: '#d2a8ff', brightCyan: '#56d4dd', brightWhite: '#ffffff',
};

const LIGHT = {
  background: '#ffffff', foreground: '#1f2328', cursor: '#ffffff', selectionBackground: '#b6d6fd',
  scrollbarSliderBackground: '#8c959f66', scrollbarSliderHoverBackground: '#6e7781aa', scrollbarSliderActiveBackground: '#57606a',
  black: '#24292f', red: '#a40e26', green: '#116329', yellow: '#7d4e00',
  blue: '#0550ae', magenta: '#6639ba', cyan: '#0a6b74', white: '#57606a',
  brightBlack: '#57606a', brightRed: '#a40e26', brightGreen: '#1a7f37', brightYellow: '#7d4e00',
  brightBlue: '#0550ae', brightMagenta: '#6639ba', brightCyan: '#0a6b74', brightWhite: '#1f2328',
};

/** @param {boolean} dark */
export function themeColours(dark) {
  return dark ? DARK : LIGHT;
}

/** Whether the page is dark: as `data-theme` on its root says, else as the system has it. */
export function pageIsDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

/**
 * Call `changed` whenever the page turns dark or light.
 * @param {() => void} changed
 * @returns {() => void} ends that
 */
export function watchTheme(changed) {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const root = new MutationObserver(changed);
  system.addEventListener('change', changed);
  root.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
  return () => {
    system.removeEventListener('change', changed);
    root.disconnect();
  };
}
