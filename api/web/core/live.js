// One event stream for the whole page, and data that is loaded again when an event says that it changed.
// Events are only the reason to look: what is shown is always what the API answers now, so a lost event
// costs time and never truth. After a pause of the stream everything is loaded again.
import { useCallback, useEffect, useRef, useState } from './html.js';
import { Problem, request } from './http.js';
import { createJob } from './job.js';
import { parser } from './sse.js';
import { createStore, useStore } from './store.js';

const RETRY = [500, 1000, 2000, 3000];
/** The daemon sends a comment after 15 s without an event: after this long the connection is dead. */
const SILENCE = 40_000;

/** {connected, since (ms), reason}; connected null: not tried yet. */
export const stream = createStore({ connected: null, since: Date.now(), reason: null });
const listeners = new Set();
let running = null;
let lastId = null;

/** Hears every event of the API's log (see listEvents), and `null` when events may have been missed. */
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Follows the events until stop(). */
export function follow() {
  stop();
  const control = new AbortController();
  running = control;
  run(control.signal);
}

/** Ends the stream; events seen are forgotten: another caller may see others. */
export function stop() {
  running?.abort();
  running = null;
  lastId = null;
  stream.set({ connected: null, since: Date.now(), reason: null });
}

async function run(signal) {
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      await once(signal, () => { failures = 0; });
      say(false, 'the daemon ended the stream', signal);
    } catch (error) {
      if (signal.aborted) return;
      say(false, error.message, signal);
      if (error instanceof Problem && error.status === 401) return;
    }
    await pause(RETRY[Math.min(failures, RETRY.length - 1)], signal);
  }
}

function say(connected, reason, signal) {
  if (!signal.aborted && stream.get().connected !== connected) stream.set({ connected, since: Date.now(), reason });
}

const pause = (ms, signal) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  signal.addEventListener('abort', () => { clearTimeout(timer); done(); }, { once: true });
});

async function once(signal, began) {
  const attempt = new AbortController();
  const end = () => attempt.abort();
  signal.addEventListener('abort', end, { once: true });
  let watchdog = setTimeout(end, SILENCE);
  try {
    const headers = { Accept: 'text/event-stream' };
    if (lastId !== null) headers['Last-Event-ID'] = lastId;
    const response = await request('GET', '/v1/events/stream', { headers, signal: attempt.signal });
    began();
    say(true, null, signal);
    tell(null);
    const feed = parser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(end, SILENCE);
      for (const message of feed(value)) {
        lastId = message.id ?? lastId;
        tell(JSON.parse(message.data));
      }
    }
  } finally {
    clearTimeout(watchdog);
    signal.removeEventListener('abort', end);
    attempt.abort();
  }
}

function tell(event) {
  for (const listener of [...listeners]) listener(event);
}

const concerns = (kinds, event) => !kinds || kinds.some((kind) => event.kind.startsWith(kind));

/**
 * Data of the API that stays true: loaded at once, when an event of `kinds` comes (prefixes, as `tunnel.`; all
 * without it), after a pause of the stream, and every `every` ms. `loader(signal)` returns a promise; another
 * `key` begins anew (the old data goes). An error keeps the data that was there.
 * @returns {{data: any, error: Problem|null, loading: boolean, reload: () => void}}
 */
export function useLive(loader, { kinds, every, key } = {}) {
  const [shown, setShown] = useState({ data: null, error: null, loading: true, key });
  const latest = useRef(loader);
  latest.current = loader;
  const reloader = useRef(() => {});
  useEffect(() => {
    const job = createJob((signal) => latest.current(signal), (change) => setShown((was) => ({
      ...(was.key === key ? was : { data: null, error: null }), ...change, key,
    })));
    reloader.current = job.soon;
    const off = subscribe((event) => (event === null ? job.afresh() : concerns(kinds, event) && job.twice()));
    const poll = every && setInterval(() => document.visibilityState === 'visible' && job.soon(), every);
    job.now();
    return () => { off(); clearInterval(poll); job.end(); };
  }, [key, every, kinds?.join()]);
  const reload = useCallback(() => reloader.current(), []);
  return shown.key === key ? { ...shown, reload } : { data: null, error: null, loading: true, reload };
}

/** The state of the stream, for the header. */
export const useStream = () => useStore(stream);

/** Milliseconds since 1970, again every `every` ms: for ages. */
export function useNow(every = 1000) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
