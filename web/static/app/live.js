// @ts-check
// News of all runs: from the feed, or by asking again and again where the feed cannot be had.

const POLL_MS = 3000;
const FORBIDDEN = 4403;

/**
 * @param {import('./main.js').App} app
 * @param {object} listener
 * @param {(run: import('../runs.js').Run) => void} listener.run something happened to it
 * @param {() => void} listener.poll time to ask for what is shown
 * @param {(state: 'live' | 'polling' | 'lost') => void} listener.state
 * @returns {() => void} ends it
 */
export function watchRuns({ runs, session }, { run, poll, state }) {
  let timer = 0;
  let wasLive = false;
  const stopPolling = () => { clearInterval(timer); timer = 0; };
  const feed = runs.feed({
    event: (message) => run(message.run),
    // What happened before, nobody tells.
    begin: poll,
    state: (now) => {
      if (now.name === 'live') {
        stopPolling();
        wasLive = true;
        state('live');
      } else if (now.name === 'waiting') {
        state(wasLive ? 'lost' : 'polling');
        if (!timer) timer = setInterval(poll, POLL_MS);
      } else if (now.name === 'token') session.end(now.code === FORBIDDEN ? 'forbidden' : 'ended');
    },
  });
  const renew = () => feed.renew(session.token);
  const hurry = () => { if (!document.hidden) feed.hurry(); };
  session.addEventListener('token', renew);
  document.addEventListener('visibilitychange', hurry);
  window.addEventListener('online', hurry);
  feed.start();
  return () => {
    stopPolling();
    feed.close();
    session.removeEventListener('token', renew);
    document.removeEventListener('visibilitychange', hurry);
    window.removeEventListener('online', hurry);
  };
}
