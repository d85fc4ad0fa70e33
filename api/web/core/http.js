// The public API over fetch(): one place for the token, for errors, and for pages of lists.
import { save } from './file.js';

/** An error of the API (RFC 9457), or, with status 0, a daemon that does not answer. */
export class Problem extends Error {
  constructor({ status, title, detail, errors, type, retryAfter, users }) {
    super(detail || title);
    this.name = 'Problem';
    Object.assign(this, { status, title, detail, errors: errors ?? [], type, retryAfter, users: users ?? [] });
  }
}

/** Beside the page, so that it works behind a proxy that puts it under a path too. */
const root = () => new URL('.', globalThis.location.href);
let authorization = () => null;
let refused = () => {};

/** `token()` gives the bearer token or null; `onRefused(problem)` hears of every 401. */
export function configure({ token, onRefused }) {
  authorization = token;
  refused = onRefused;
}

/** Query values: arrays repeat, null and undefined and '' are left out. */
export function toUrl(path, query = {}, base = root()) {
  const url = new URL(path.replace(/^\//, ''), base);
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== '') url.searchParams.append(name, one);
    }
  }
  return url;
}

/** A path of the API with each part encoded: path`/v1/tunnels/${id}`. */
export function path(strings, ...parts) {
  return strings.reduce((made, text, i) => made + encodeURIComponent(parts[i - 1]) + text);
}

/** fetch() with the token. Throws a Problem for every status that is not 2xx. */
export async function request(method, where, { query, headers = {}, body, signal } = {}) {
  const token = authorization();
  const all = { Accept: 'application/json', ...headers };
  if (token) all.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(toUrl(where, query), {
      method, body, signal, headers: all, cache: 'no-store', credentials: 'omit', redirect: 'error',
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem({ status: 0, title: 'No answer', detail: 'the daemon does not answer' });
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (response.status === 401) refused(problem, token);
  throw problem;
}

async function problemOf(response) {
  const found = { status: response.status, title: response.statusText || `Status ${response.status}` };
  const wait = Number(response.headers.get('retry-after'));
  if (wait > 0) found.retryAfter = wait;
  if ((response.headers.get('content-type') ?? '').includes('json')) {
    try {
      Object.assign(found, await response.json());
    } catch (error) {
      found.detail = `the answer is not JSON: ${error.message}`;
    }
  }
  return new Problem(found);
}

async function call(method, where, { query, body, dryRun, etag, key, merge, signal } = {}) {
  const headers = {};
  if (body !== undefined) headers['Content-Type'] = merge ? 'application/merge-patch+json' : 'application/json';
  if (etag) headers['If-Match'] = etag;
  if (key) headers['Idempotency-Key'] = key;
  const response = await request(method, where, {
    query: dryRun ? { ...query, dry_run: true } : query,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
  });
  const text = await response.text();
  return { data: text ? JSON.parse(text) : null, etag: response.headers.get('etag'), status: response.status };
}

/** All pages of a list, one item at a time. */
async function* pages(where, query = {}, { signal } = {}) {
  let cursor;
  do {
    const { data } = await call('GET', where, { query: { ...query, cursor }, signal });
    yield* data.items;
    cursor = data.next_cursor;
  } while (cursor);
}

/** The answer as a file of the browser's downloads. */
async function download(where, query, filename, { accept = '*/*' } = {}) {
  const response = await request('GET', where, { query, headers: { Accept: accept } });
  save(await response.blob(), filename);
}

export const api = {
  get: (where, query, options) => call('GET', where, { ...options, query }),
  post: (where, body, options) => call('POST', where, { ...options, body }),
  put: (where, body, options) => call('PUT', where, { ...options, body }),
  patch: (where, body, options) => call('PATCH', where, { merge: true, ...options, body }),
  delete: (where, body, options) => call('DELETE', where, { ...options, body: body ?? undefined }),
  pages,
  download,
};

/** All items of a list as an array. Only for lists of resources, which are short. */
export async function all(where, query, options) {
  const items = [];
  for await (const item of pages(where, { limit: 1000, ...query }, options)) items.push(item);
  return items;
}
