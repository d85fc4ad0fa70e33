// Whether the daemon serves another dashboard by now than the one that is running here: after an upgrade.
import { subscribe } from './live.js';
import { toUrl } from './http.js';
import { createStore } from './store.js';

/** True once the files of the dashboard have changed since this page was loaded. */
export const outdated = createStore(false);
let loaded = null;

/** The page's ETag stands for all files. */
async function look() {
  let response;
  try {
    response = await fetch(toUrl(''), { method: 'HEAD', cache: 'no-store' });
  } catch {
    return; // Away again: it is asked when the stream is back.
  }
  const etag = response.ok ? response.headers.get('etag') : null;
  loaded ??= etag;
  if (etag !== null && etag !== loaded) outdated.set(true);
}

/** Looks now, and whenever the stream of events was interrupted, as it is by a restart. Returns how to stop. */
export const watchVersion = () => subscribe((event) => { if (event === null) look(); });
