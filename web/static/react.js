// @ts-check
// <run-terminal> as a React component:
//
//   import * as React from 'react';
//   import { makeTerminalComponent } from 'https://runwire.example/ui/react.js';
//   const TerminalComponent = makeTerminalComponent(React);
//   <TerminalComponent runId={id} token={token} onEnd={(run) => ...} />
//
// React is handed in, since an application has its own.

import './run-terminal.js';

/**
 * @typedef {object} TerminalProps
 * @property {string} runId
 * @property {string | null} token a new one is taken up while the output goes on
 * @property {string} [server] where Runwire is, if not where this file came from
 * @property {(run: import('./runs.js').Run) => void} [onRun] the run is known anew
 * @property {(run: import('./runs.js').Run) => void} [onEnd] all of its output is shown
 * @property {() => void} [onAuthRequired] the token is missing, bad or ended
 * @property {string} [className]
 */

/** @param {any} React @returns {(props: TerminalProps) => any} */
export function makeTerminalComponent(React) {
  return function TerminalComponent({ runId, token, server, onRun, onEnd, onAuthRequired, className }) {
    const element = React.useRef(null);
    const handlers = React.useRef({});
    handlers.current = { 'run': onRun, 'run-end': onEnd, 'auth-required': onAuthRequired };
    React.useLayoutEffect(() => { element.current.token = token; }, [token]);
    React.useEffect(() => {
      const listen = (/** @type {CustomEvent} */ event) => handlers.current[event.type]?.(event.detail);
      const names = Object.keys(handlers.current);
      for (const name of names) element.current.addEventListener(name, listen);
      const { current } = element;
      return () => { for (const name of names) current.removeEventListener(name, listen); };
    }, []);
    return React.createElement('run-terminal', { ref: element, 'run-id': runId, server, class: className });
  };
}
