// When to load again: soon after a reason comes, seldom enough while reasons keep coming. One load at a time.

import { Problem } from './http.js';

/** Reasons that come together, as the events of one failover, are one. */
const SOON = 100;
/** Under a storm the pauses grow up to this, in ms: what is shown is never older than this and one load. */
const SELDOM = 500;
/** So long after a reason what the daemon itself hears late, as counters, has caught up. */
const SETTLED = 2000;
/** After a request that nobody answered. */
const RETRY = 2000;
/** A load that takes longer is given up: its connection may be one to a daemon that is gone. */
const LONGEST = 20_000;
/** Type of the Problem then. */
export const SLOW = 'slow';

/**
 * `load(signal)` gives a promise of data; `show({data?, error?, loading})` hears how it goes. `now()` loads at once,
 * `soon()` in a moment, `twice()` soon and once more when all has settled, `afresh()` gives up a load that is on
 * its way and does the same; `end()` gives everything up.
 */
export function createJob(load, show) {
  let over = false;
  let current = null;
  let timer = null;
  let later = null;
  let busy = false;
  let again = false;
  let pause = SOON;
  let ended = -Infinity;

  async function now() {
    clearTimeout(timer);
    timer = null;
    if (busy) { again = true; return; }
    busy = true;
    const begin = performance.now();
    show({ loading: true });
    const wait = await attempt();
    busy = false;
    ended = performance.now();
    // A large answer under a storm of events: the daemon rests at least as long as it worked.
    pause = Math.max(pause, Math.min(ended - begin, SELDOM));
    if (over) return;
    if (again) { again = false; soon(); } else if (wait !== null) timer = setTimeout(now, wait);
  }

  /** Milliseconds after which to try again, or null. */
  async function attempt() {
    const { signal } = current = new AbortController();
    const watchdog = setTimeout(() => current.abort(), LONGEST);
    try {
      const data = await Promise.race([load(signal), refusal(signal)]);
      if (!over) show({ data, error: null, loading: false });
    } catch (found) {
      if (over || (signal.aborted && again)) return null;
      const error = signal.aborted ? slow() : found;
      show({ error, loading: false });
      return error.retryAfter ? error.retryAfter * 1000 : error.status === 0 ? RETRY : null;
    } finally {
      clearTimeout(watchdog);
    }
    return null;
  }

  function soon() {
    if (over || timer !== null) return;
    const storm = performance.now() - ended < SETTLED;
    pause = storm ? Math.min(pause * 2, SELDOM) : SOON;
    timer = setTimeout(now, pause);
  }

  function twice() {
    soon();
    clearTimeout(later);
    later = setTimeout(soon, SETTLED);
  }

  function afresh() {
    twice();
    if (!busy) return;
    again = true;
    current.abort();
  }

  function end() {
    over = true;
    clearTimeout(timer);
    clearTimeout(later);
    current?.abort();
  }

  return { now, soon, twice, afresh, end };
}

/** Rejects when the signal says so, for loaders that do not listen to it. */
const refusal = (signal) => new Promise((_, fail) => {
  signal.addEventListener('abort', () => fail(signal.reason), { once: true });
});

const slow = () => new Problem({ status: 0, title: 'No answer', type: SLOW, detail: `no answer within ${LONGEST / 1000} s` });
