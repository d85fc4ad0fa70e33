// Routes of a VPN gateway, or of its VPC's table: a search of the daemon's, one keyset page at a time. Everything that was asked
// for is in the URL, so that a link shows the same to others.
import { html, useEffect, useMemo, useRef, useState } from '../core/html.js';
import { all, api, path } from '../core/http.js';
import { useLive } from '../core/live.js';
import { link, navigate } from '../core/router.js';
import { Empty, Loaded, Page, ProblemNotice, Spinner } from '../ui/index.js';
import { Filters } from './routes_filters.js';
import { Rows } from './routes_rows.js';
import { Tools } from './routes_tools.js';

const LIMIT = 100;
/** Routes come and go without an event each: a page is at most this old, in ms. */
const EVERY = 5000;
const KINDS = ['session.', 'tunnel.', 'connection.', 'gateway.', 'config.', 'fib.'];
/** What a list can be asked for; `gateway`, `view` and `cursor` of the URL say where. */
const ASKED = ['q', 'prefix', 'match', 'family', 'session', 'asn', 'community', 'state'];

export default function Routes({ query }) {
  const live = useLive((signal) => all('/v1/vpn-gateways', {}, { signal }), { kinds: ['config.', 'gateway.'] });
  return html`<${Page} title="Routes" lead="What the peers announced, with the reason for every choice, and what came of it in the VPC's route table.">
    <${Loaded} live=${live}>${(gateways) => (gateways.length === 0 ? html`<${None} />` : html`<${List} gateways=${gateways} query=${query} />`)}<//>
  <//>`;
}

const None = () => html`<${Empty} title="No VPN gateway yet">
  <p>Routes are learned by a VPN gateway. <a href="#/resources/vpn-gateways/new">Make one</a></p>
<//>`;

function List({ gateways, query }) {
  const gateway = gateways.find(({ name }) => name === query.gateway) ?? gateways[0];
  const view = query.view === 'table' ? 'table' : 'learned';
  const list = useMemo(() => listOf(gateway, view, query), [gateway.name, gateway.vpc, view, JSON.stringify(query)]);
  const live = useLive((signal) => load(list, signal), { kinds: KINDS, every: EVERY, key: list.key });
  const { page, old } = usePrevious(live.data, list.place);
  const trail = useTrail(list.filters, query.cursor);
  const go = (changes, options) => navigate('/routes', { ...query, cursor: undefined, ...changes }, options);
  useShortcut('/', '#routes-q');
  useTop(query.cursor);
  const missing = query.gateway && gateway.name !== query.gateway;
  return html`
    ${missing && html`<${ProblemNotice} problem=${{ title: 'No such gateway', detail: `there is no VPN gateway ${query.gateway}; this is ${gateway.name}` }} />`}
    <${Views} gateway=${gateway} view=${view} query=${query} />
    <${Filters} gateways=${gateways} gateway=${gateway} view=${view} query=${query} go=${go} problem=${invalid(live.error)} />
    ${live.error && !invalid(live.error) && !(live.error.status === 0 && page) && html`<${ProblemNotice} problem=${live.error} onRetry=${live.reload} />`}
    ${page && html`<${Tools} list=${list} page=${page} view=${view} gateway=${gateway} trail=${trail} query=${query} limit=${LIMIT} />`}
    ${page ? html`<div class=${old ? 'routes-old' : ''} aria-busy=${old}><${Rows} page=${page} view=${view} gateway=${gateway} filtered=${list.filtered} /></div>`
      : !live.error && html`<${Spinner} />`}
    ${page && page.next_cursor && page.items.length > 20 && html`<${Tools} list=${list} page=${page} view=${view} gateway=${gateway} trail=${trail} query=${query} limit=${LIMIT} below />`}`;
}

/** Two lists, each at a link of its own. */
function Views({ gateway, view, query }) {
  const to = (name) => link('/routes', { ...query, cursor: undefined, state: undefined, view: name });
  return html`<nav class="views" aria-label="Which routes">
    <a href=${to(undefined)} aria-current=${view === 'learned' ? 'page' : undefined}>Learned</a>
    <a href=${to('table')} aria-current=${view === 'table' ? 'page' : undefined}>Route table of ${gateway.vpc}</a>
  </nav>`;
}

/** Where a list is, and what of it is wanted. */
function listOf(gateway, view, query) {
  const filters = Object.fromEntries(ASKED.filter((name) => query[name]).map((name) => [name, query[name]]));
  const base = view === 'table' ? path`/v1/vpcs/${gateway.vpc}/routes` : path`/v1/vpn-gateways/${gateway.name}/routes`;
  const place = `${base} ${JSON.stringify(filters)}`;
  return { base, filters, filtered: Object.keys(filters).length > 0, cursor: query.cursor, place, key: `${place} ${query.cursor ?? ''}` };
}

async function load({ base, filters, cursor }, signal) {
  const { data } = await api.get(base, { ...filters, cursor, limit: LIMIT }, { signal });
  return data;
}

/** The page, or until it is there the one before, so that nothing jumps while somebody types. */
function usePrevious(data, place) {
  const last = useRef(null);
  if (data) last.current = { data, place };
  return { page: data ?? last.current?.data ?? null, old: data === null };
}

/** A mistake in what was asked for belongs to the field. */
const invalid = (error) => (error?.status === 422 ? error : null);

/** Cursors of the pages that were gone through, for the way back: [cursor, …], the first page being undefined. */
function useTrail(filters, cursor) {
  const key = JSON.stringify(filters);
  const [kept, setKept] = useState({ key, cursors: [cursor] });
  useEffect(() => {
    setKept((was) => {
      if (was.key !== key) return { key, cursors: [cursor] };
      const at = was.cursors.indexOf(cursor);
      return { key, cursors: at < 0 ? [...was.cursors, cursor] : was.cursors.slice(0, at + 1) };
    });
  }, [key, cursor]);
  return kept.cursors;
}

/** Another page begins at its top, wherever the link to it was. */
function useTop(cursor) {
  const shown = useRef(cursor);
  useEffect(() => {
    if (cursor !== shown.current) document.querySelector('.routes-tools')?.scrollIntoView({ block: 'nearest' });
    shown.current = cursor;
  }, [cursor]);
}

/** A key that goes to an element, unless somebody writes. */
function useShortcut(key, selector) {
  useEffect(() => {
    const pressed = (event) => {
      if (event.key !== key || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest?.('input, select, textarea, dialog')) return;
      event.preventDefault();
      document.querySelector(selector)?.focus();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, [key, selector]);
}
