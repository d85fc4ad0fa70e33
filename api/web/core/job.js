// When to load again: soon after a reason comes, seldom enough while reasons keep coming. One load at a time.

/** Reasons that come together, as the events of one failover, are one. */
const SOON = 100;
/** Under a storm the pauses grow up to this, in ms: what is shown is never older than this and one load. */
const SELDOM = 500;
/** So long after a reason what the daemon itself hears late, as counters, has caught up. */
const SETTLED = 2000;
/** After a request that nobody answered. */
const RETRY = 2000;

/**
 * `load(signal)` gives a promise of data; `show({data?, error?, loading})` hears how it goes. `now()` loads at once,
 * `soon()` in a moment, `twice()` soon and once more when all has settled; `end()` gives everything up.
 */
export function createJob(load, show) {
  const control = new AbortController();
  const { signal } = control;
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
    if (signal.aborted) return;
    if (again) { again = false; soon(); } else if (wait !== null) timer = setTimeout(now, wait);
  }

  /** Milliseconds after which to try again, or null. */
  async function attempt() {
    try {
      const data = await load(signal);
      if (!signal.aborted) show({ data, error: null, loading: false });
    } catch (error) {
      if (signal.aborted) return null;
      show({ error, loading: false });
      return error.retryAfter ? error.retryAfter * 1000 : error.status === 0 ? RETRY : null;
    }
    return null;
  }

  function soon() {
    if (signal.aborted || timer !== null) return;
    const storm = performance.now() - ended < SETTLED;
    pause = storm ? Math.min(pause * 2, SELDOM) : SOON;
    timer = setTimeout(now, pause);
  }

  function twice() {
    soon();
    clearTimeout(later);
    later = setTimeout(soon, SETTLED);
  }

  function end() {
    clearTimeout(timer);
    clearTimeout(later);
    control.abort();
  }

  return { now, soon, twice, end };
}
