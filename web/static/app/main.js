// @ts-check
// Puts the pages together: the session, the frame around every page, and the addresses.

import { h } from '../dom.js';
import { Runs } from '../runs.js';
import '../run-terminal.js';
import { showStatusInTab } from './favicon.js';
import { makeHeader } from './header.js';
import { makeCommandPage } from './page-command.js';
import { makeJobsPage } from './page-jobs.js';
import { makeMissingPage } from './page-missing.js';
import { makeRunPage } from './page-run.js';
import { makeRunsPage } from './page-runs.js';
import { makeSignInPage } from './page-sign-in.js';
import { makeStartPage } from './page-start.js';
import { Router } from './router.js';
import { Session } from './session.js';
import { askForToken } from './token-dialog.js';

const session = new Session();
const runs = new Runs({ token: () => session.token });
const header = makeHeader(session);
const main = h('main', { id: 'main', tabIndex: -1 });
const router = new Router([
  [/^$/, (_, query) => makeRunsPage(app, query)],
  [/^runs\/([^/]+)$/, ([id]) => makeRunPage(app, id)],
  [/^jobs$/, () => makeJobsPage(app)],
  [/^jobs\/([^/]+)$/, ([name]) => makeStartPage(app, name)],
  [/^new$/, () => makeCommandPage(app)],
  [/./, () => makeMissingPage('There is no such page', 'The address leads nowhere in Runwire.')],
], show);

/** What every page gets. @typedef {{session: Session, runs: Runs, router: Router}} App */
/** @type {App} */
const app = { session, runs, router };

/** @type {import('./router.js').Page | null} */
let current = null;

/** @param {() => import('./router.js').Page} make */
function show(make) {
  const first = current === null;
  current?.close?.();
  showStatusInTab(null);
  current = session.token === null ? makeSignInPage(session) : make();
  document.title = `${current.title} · Runwire`;
  header.update(current.section ?? '');
  main.replaceChildren(current.element);
  // A new page is read from its start; the first one already is.
  if (!first && session.token !== null) main.focus({ preventScroll: true });
}

let signedIn = session.token !== null;
session.addEventListener('token', () => {
  // A token for another leaves the page as it is: its parts take the new one up.
  if (signedIn === (session.token !== null)) return;
  signedIn = session.token !== null;
  router.render();
});
session.addEventListener('ended', (event) => askForToken(session, /** @type {CustomEvent} */ (event).detail));

document.body.append(
  h('a', { className: 'skip', href: '#main' }, 'Skip to the content'),
  header.element,
  main,
);
router.render();
