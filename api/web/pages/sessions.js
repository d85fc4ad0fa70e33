// All BGP sessions.
import { html, useState } from '../core/html.js';
import { all } from '../core/http.js';
import { count, plural, words } from '../core/format.js';
import { link } from '../core/router.js';
import { useLive } from '../core/live.js';
import { sessionKind } from '../core/tunnels.js';
import { Ago, Empty, Loaded, Page, Past, Role, Status, Table } from '../ui/index.js';

/** Counters rise without an event: at most this old, in ms. */
const EVERY = 5000;
/** Rows that are drawn; the filter finds the others. */
const SHOWN = 200;
const KINDS = ['session.', 'tunnel.', 'connection.', 'gateway.', 'config.', 'speaker.'];

const load = (signal) => all('/v1/bgp-sessions', {}, { signal });

export default function Sessions() {
  const live = useLive(load, { kinds: KINDS, every: EVERY });
  return html`<${Page} title="BGP sessions" lead="One for each tunnel whose connection enables BGP.">
    <${Loaded} live=${live}>${(sessions) => (sessions.length === 0 ? html`<${None} />` : html`<${List} sessions=${sessions} />`)}<//>
  <//>`;
}

const None = () => html`<${Empty} title="No session yet">
  <p>A connection has two when <code>enable_bgp</code> is on and its customer gateways have an AS number. <a href="#/resources/vpn-connections">VPN connections</a></p>
<//>`;

function List({ sessions }) {
  const [text, setText] = useState('');
  const [down, setDown] = useState(false);
  const wanted = text.trim().toLowerCase();
  const fitting = sessions.filter((one) => (!down || one.state !== 'established') && mentions(one, wanted));
  const shown = fitting.slice(0, SHOWN);
  const up = sessions.filter((one) => one.state === 'established').length;
  return html`
    <div class="filter">
      <label>Filter <input type="search" value=${text} placeholder="name, address or AS number" onInput=${(event) => setText(event.target.value)} /></label>
      <label class="check"><input type="checkbox" checked=${down} onInput=${(event) => setDown(event.target.checked)} /> Only those that are not established</label>
      <span class="muted" role="status">${shown.length < fitting.length ? `The first ${SHOWN} of ` : ''}${plural(fitting.length, 'session')} shown; ${up} of ${sessions.length} established</span>
    </div>
    <${Table} caption="BGP sessions" columns=${COLUMNS} rows=${shown} rowKey=${(one) => one.id} empty="No session fits the filter" />`;
}

const mentions = (one, text) => !text
  || [one.id, one.connection, one.gateway, one.peer_address, String(one.peer_asn), one.state].some((word) => word.toLowerCase().includes(text));

const COLUMNS = [
  { key: 'id', label: 'Session', render: (one) => html`<a href=${link('/tunnels/:id', {}, { id: one.id })}>${one.id}</a>` },
  { key: 'state', label: 'State', render: (one) => html`<${Status} kind=${sessionKind(one.state)}>${words(one.state)}<//>` },
  { key: 'since', label: 'For', render: (one) => html`<${Ago} at=${one.since} />` },
  { key: 'role', label: 'Role', narrow: 'hide', render: (one) => html`<${Role} role=${one.role} />` },
  { key: 'gateway', label: 'Gateway', narrow: 'hide' },
  { key: 'peer_asn', label: 'Peer AS', align: 'end' },
  { key: 'peer_address', label: 'Peer', narrow: 'hide', render: (one) => html`<span class="mono">${one.peer_address}</span>` },
  { key: 'received', label: 'Received', align: 'end', render: (one) => counted(one, 'received', {}) },
  { key: 'accepted', label: 'Accepted', align: 'end', render: (one) => count(one.prefixes.accepted) },
  { key: 'rejected', label: 'Refused', align: 'end', narrow: 'hide', render: (one) => refused(one.prefixes) },
  { key: 'advertised', label: 'Announced', align: 'end', narrow: 'hide', render: (one) => count(one.prefixes.advertised) },
  { key: 'flap_count', label: 'Flaps', align: 'end', render: (one) => count(one.flap_count) },
  { key: 'last_error', label: 'Last error', narrow: 'hide', render: (one) => lastError(one) },
];

const counted = (one, name) => html`<a href=${link('/routes', { gateway: one.gateway, session: one.id })}
  aria-label=${`${count(one.prefixes[name])} prefixes of ${one.id}`}>${count(one.prefixes[name])}</a>`;

function refused({ rejected, shed }) {
  if (shed > 0) return html`<${Status} kind="warn" title=${`${count(shed)} of them above the limit of the session`}>${count(rejected)}<//>`;
  return count(rejected);
}

function lastError({ state, last_error: error }) {
  if (!error) return html`<span class="muted">none</span>`;
  return html`<span class=${state === 'established' ? 'muted' : ''}>${error.text}, <${Past} at=${error.time} /></span>`;
}
