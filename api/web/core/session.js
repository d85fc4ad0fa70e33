// Who uses this page: the token of this tab, and what /v1/whoami says of it.
import { api, configure, Problem } from './http.js';
import { createStore, useStore } from './store.js';

const KEY = 'bgpsvc.token';
const OFFER = '#token=';
/** What a token looks like. */
export const TOKEN = /^bgpsvc_[A-Za-z0-9]{1,64}\.[A-Za-z0-9_-]{1,256}$/;
const ORDER = ['read', 'operate', 'admin'];
const RETRY = 2000;

/** `state`: starting, in, out, away (the daemon does not answer); `actor`: answer of /v1/whoami; `reason`: why out. */
export const session = createStore({ state: 'starting', actor: null, reason: null });
let token = offered() ?? sessionStorage.getItem(KEY);

configure({
  token: () => token,
  // A request that began before another token was given says nothing about that one.
  onRefused: (problem, used) => used === token && signOut(token ? problem.detail : null),
});

/**
 * The token of an address that `bgpsvc dashboard` printed, `…/#token=bgpsvc_ID.SECRET`, else null. A fragment is sent to
 * nobody; it is out of the address bar, and out of what Back leads to, before anything is shown or asked for.
 */
function offered() {
  if (!location.hash.startsWith(OFFER)) return null;
  const given = location.hash.slice(OFFER.length);
  history.replaceState(history.state, '', '#/');
  if (!TOKEN.test(given)) return null;
  sessionStorage.setItem(KEY, given);
  return given;
}

/** Such an address in a tab that shows the dashboard already: it begins anew, before the router sees a page in it. */
addEventListener('hashchange', (event) => {
  if (!location.hash.startsWith(OFFER)) return;
  event.stopImmediatePropagation();
  offered();
  location.reload();
});

/** Asks who we are, with the token of this tab or without one; waits for a daemon that is away. */
export async function start() {
  try {
    const { data } = await api.get('/v1/whoami');
    session.set({ state: 'in', actor: data, reason: null });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) return; // onRefused above has seen to it.
    // Who has no token yet is asked for one, whatever else stands in the way: another name than loopback's (421,
    // api/guards.py), or too many attempts (429).
    if (token === null && error.status >= 400 && error.status < 500) { signOut(); return; }
    session.set({ state: 'away', actor: null, reason: error.message });
    setTimeout(start, RETRY);
  }
}

/** Asks again who we are, after the daemon was away: it may be started anew, and have other rights for us. */
export async function refresh() {
  try {
    const { data } = await api.get('/v1/whoami');
    if (session.get().state === 'in') session.set({ state: 'in', actor: data, reason: null });
  } catch (error) {
    // Refused: onRefused above has seen to it. Away again: it is asked when the stream is back.
    if (!(error instanceof Problem)) throw error;
  }
}

/** Takes a token for this tab. Throws a Problem if it is refused; `remember`: keep it over a reload. */
export async function signIn(given, remember = true) {
  const before = token;
  token = given;
  try {
    const { data } = await api.get('/v1/whoami');
    if (remember) sessionStorage.setItem(KEY, given);
    session.set({ state: 'in', actor: data, reason: null });
  } catch (error) {
    token = before;
    throw error;
  }
}

/** Forgets the token of this tab. */
export function signOut(reason = null) {
  token = null;
  sessionStorage.removeItem(KEY);
  session.set({ state: 'out', actor: null, reason });
}

/** True if whoever uses the page has this scope: read, operate or admin. */
export function can(scope, actor = session.get().actor) {
  return actor !== null && ORDER.indexOf(actor.scope) >= ORDER.indexOf(scope);
}

/** The actor (answer of /v1/whoami), or null. */
export function useActor() {
  return useStore(session).actor;
}
