// Routes in the fragment: `#/path?query`. Links stay valid whatever the page is served under.
import { useEffect, useState } from './html.js';

/** `#/a/b%2Fc?x=1` to {path: '/a/b%2Fc', segments: ['a', 'b/c'], query: {x: '1'}}; repeated names give arrays. */
export function parse(hash) {
  const text = hash.replace(/^#?\/?/, '/');
  const mark = text.indexOf('?');
  const path = mark < 0 ? text : text.slice(0, mark);
  const query = {};
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
    history.replaceState(null, '', target);
    dispatchEvent(new HashChangeEvent('hashchange'));
  }
}

let guard = null;

/** `ask(hash)` is asked before another page is shown: true keeps the one that is there. null: nobody is asked. */
export function guardBy(ask) {
  guard = ask;
}

/** {path, segments, query} of where we are. */
export function useRoute() {
  const [route, setRoute] = useState(() => parse(location.hash));
  useEffect(() => {
    const changed = (event) => {
      const stay = event.oldURL && guard?.(location.hash);
      if (stay) history.replaceState(null, '', event.oldURL);
      else setRoute(parse(location.hash));
    };
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}
