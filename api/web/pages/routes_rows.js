// A page of routes as a table.
import { html } from '../core/html.js';
import { count } from '../core/format.js';
import { link } from '../core/router.js';
import { Status, Table } from '../ui/index.js';

const STATES = { installed: 'good', pending: 'warn', failed: 'bad', not_installed: 'off' };
const WORDS = { installed: 'installed', pending: 'pending', failed: 'refused', not_installed: 'not installed' };
const MOST = 3;

/** The state of a route. */
export const RouteState = ({ state, title }) => html`<${Status} kind=${STATES[state] ?? 'off'} title=${title}>${WORDS[state] ?? state}<//>`;

/** A link to what a prefix is about. */
export const PrefixLink = ({ gateway, prefix }) => html`<a class="mono" href=${link('/routes/:gateway/:prefix', {}, { gateway, prefix })}>${prefix}</a>`;

const tunnel = (id) => (id ? html`<a href=${link('/tunnels/:id', {}, { id })}>${id}</a>` : html`<span class="muted">–</span>`);
const mono = (value) => (value ? html`<span class="mono">${value}</span>` : html`<span class="muted">–</span>`);

/** `65500:100 65500:200 and 4 more`. */
function communities({ communities: plain, large_communities: large }) {
  const both = [...plain, ...large];
  const more = both.length > MOST ? ` and ${both.length - MOST} more` : '';
  return html`<span class="mono" title=${both.join(' ')}>${both.slice(0, MOST).join(' ')}</span>${more}`;
}

const best = (route) => route.candidates[0];

const learned = (gateway) => [
  { key: 'prefix', label: 'Prefix', render: ({ prefix }) => html`<${PrefixLink} gateway=${gateway} prefix=${prefix} />` },
  { key: 'state', label: 'State', render: ({ state, reason_text: why }) => html`<${RouteState} state=${state} title=${why} />` },
  { key: 'session', label: 'Traffic takes', render: ({ session }) => tunnel(session) },
  { key: 'as_path', label: 'AS path', render: (route) => mono(best(route)?.as_path) },
  { key: 'next_hop', label: 'Next hop', narrow: 'hide', render: (route) => mono(best(route)?.next_hop) },
  { key: 'communities', label: 'Communities', narrow: 'hide', render: (route) => best(route) && communities(best(route)) },
  { key: 'local_pref', label: 'Pref', align: 'end', narrow: 'hide', render: (route) => best(route)?.local_pref ?? '–' },
  { key: 'med', label: 'MED', align: 'end', narrow: 'hide', render: (route) => best(route)?.med ?? '–' },
  { key: 'paths', label: 'Paths', align: 'end', render: ({ candidates }) => count(candidates.length) },
  { key: 'why', label: 'Why not installed', narrow: 'hide', render: ({ reason_text: why }) => why ?? '' },
];

const SOURCES = { bgp: 'learned', destination_based: 'destination-based route', policy_based: 'policy-based route' };

const table = (gateway) => [
  { key: 'prefix', label: 'Prefix', render: ({ prefix }) => html`<${PrefixLink} gateway=${gateway} prefix=${prefix} />` },
  { key: 'session', label: 'Traffic takes', render: ({ session }) => tunnel(session) },
  { key: 'next_hop', label: 'Next hop', render: ({ next_hop: hop }) => mono(hop) },
  { key: 'interface', label: 'Interface', narrow: 'hide', render: ({ interface: name }) => mono(name) },
  { key: 'backup_session', label: 'Backup', narrow: 'hide', render: ({ backup_session: id }) => tunnel(id) },
  { key: 'source', label: 'From', render: ({ source }) => SOURCES[source] ?? source },
  { key: 'metric', label: 'Metric', align: 'end', narrow: 'hide' },
  { key: 'nexthop_group', label: 'Group', align: 'end', narrow: 'hide' },
];

/** `page`: of the API; `view`: learned or table. */
export function Rows({ page, view, gateway, filtered }) {
  const columns = view === 'table' ? table(gateway.name) : learned(gateway.name);
  const caption = view === 'table' ? `Routes of ours in table ${page.items[0]?.table ?? ''} of ${gateway.vpc}` : `Routes that ${gateway.name} learned`;
  const none = filtered ? 'Nothing matches' : view === 'table' ? 'No route is installed' : 'No peer has announced anything yet';
  return html`<div class="routes" onKeyDown=${move}>
    <${Table} caption=${caption} columns=${columns} rows=${page.items} rowKey=${({ prefix }) => prefix} empty=${none} />
  </div>`;
}

/** Up and down go from row to row, Home and End to the first and the last. */
function move(event) {
  const links = [...event.currentTarget.querySelectorAll('tbody th a')];
  const row = event.target.closest('tbody tr');
  if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
  const at = links.indexOf(row.querySelector('th a'));
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  if (to < 0) document.getElementById('routes-q')?.focus();
  else links[Math.min(to, links.length - 1)]?.focus();
}
