// Routes in the fragment: `#/path?query`. Links stay valid whatever the page is served under.
import { useEffect, useState } from './html.js';

/** `#/a/b%2Fc?x=1` to {path: '/a/b%2Fc', segments: ['a', 'b/c'], query: {x: '1'}}; repeated names give arrays. */
export function parse(hash) {
  const text = hash.replace(/^#?\/?/, '/');
  const mark = text.indexOf('?');
  const path = mark < 0 ? text : text.slice(0, mark);
  const query = Object.create(null); // `__proto__` is a name like any other.
  for (const [name, value] of new URLSearchParams(mark < 0 ? '' : text.slice(mark + 1))) {
    query[name] = name in query ? [query[name], value].flat() : value;
  }
  return { path, segments: path.split('/').filter(Boolean).map(decoded), query };
}

function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // Typed by hand with a stray %; it is looked up as it stands.
  }
}

/** The parameters if `segments` fit `pattern` as `/tunnels/:id`, else null. */
export function match(pattern, segments) {
  const parts = pattern.split('/').filter(Boolean);
  if (parts.length !== segments.length) return null;
  const params = {};
  for (const [i, part] of parts.entries()) {
    if (part.startsWith(':')) params[part.slice(1)] = segments[i];
    else if (part !== segments[i]) return null;
  }
  return params;
}

/** `link('/tunnels/:id', {}, {id})` or `link('/sessions')`: a value for href. Query values that are empty are left out. */
export function link(path, query = {}, params = {}) {
  const filled = path.replace(/:(\w+)/g, (_, name) => encodeURIComponent(params[name]));
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== '') search.append(name, one);
    }
  }
  const text = search.toString();
  return `#${filled}${text ? `?${text}` : ''}`;
}

/** Goes there; `replace` leaves no entry in the history (for filters that change with each key). */
export function navigate(path, query = {}, { params = {}, replace = false } = {}) {
  const target = link(path, query, params);
  if (!replace) location.hash = target;
  else {
    history.replaceState(history.state, '', target);
    dispatchEvent(new HashChangeEvent('hashchange'));
  }
}

let guard = null;

/**
 * `ask(go)` is asked before another page is shown: true keeps the one that is there, and `go()` goes to the other
 * after all. null: nobody is asked.
 */
export function guardBy(ask) {
  guard = ask;
}

/** Where in the history we are, as its entries say: what goes on, or Back, or five back, can be undone. */
let place = 0;
/** The place to return to while a way is undone, else null. */
let home = null;

/** Takes note of the entry that is shown now; how many entries it is ahead of the one before. */
function arrive() {
  const before = place;
  place = history.state?.place ?? before + 1;
  history.replaceState({ place }, '');
  return place - before;
}

/** True if the page that is there stays: the history is then as it was before. */
function stays(moved) {
  if (home !== null) {
    if (place === home) home = null;
    else history.go(home - place);
    return true;
  }
  if (moved === 0 || !guard?.(() => history.go(moved))) return false;
  home = place - moved;
  history.go(-moved);
  return true;
}

/** {path, segments, query} of where we are. */
export function useRoute() {
  const [route, setRoute] = useState(() => parse(location.hash));
  useEffect(() => {
    place = history.state?.place ?? 0;
    history.replaceState({ place }, '');
    const changed = () => { if (!stays(arrive())) setRoute(parse(location.hash)); };
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}
