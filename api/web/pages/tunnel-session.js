// The BGP session of a tunnel.
import { html } from '../core/html.js';
import { count, duration, plural, words } from '../core/format.js';
import { link } from '../core/router.js';
import { sessionKind } from '../core/tunnels.js';
import { Ago, Facts, Notice, Past, Status, Time } from '../ui/index.js';

export function Session({ session }) {
  return html`<section aria-labelledby="bgp"><h2 id="bgp">BGP session</h2>
    ${session ? html`<${Known} session=${session} />` : html`<p>This tunnel has none: its connection does not enable BGP.</p>`}
  </section>`;
}

const Known = ({ session }) => html`
  <${Facts} facts=${[
    ['State', html`<${Status} kind=${sessionKind(session.state)}>${words(session.state)}<//>`],
    ['Since', html`<${Time} at=${session.since} /> (<${Ago} at=${session.since} />)`],
    ['Here', html`<span class="mono">${session.local_address}</span> AS ${session.local_asn}`],
    ['Peer', html`<span class="mono">${session.peer_address}</span> AS ${session.peer_asn}`],
    ['End-of-RIB', session.end_of_rib ? 'received for every family' : 'not received yet'],
    ['Was established', `${plural(session.established_count, 'time')}; lost ${plural(session.flap_count, 'time')}`],
  ]} />
  ${session.last_error && html`<${LastError} error=${session.last_error} over=${session.state === 'established'} />`}
  <h3>Prefixes</h3><${Prefixes} session=${session} />
  <h3>Agreed in OPEN</h3>${session.negotiated ? html`<${Negotiated} session=${session} />` : html`<p class="muted">Nothing yet: the session has not been established.</p>`}
  <h3>Messages since the daemon started</h3><${Messages} messages=${session.messages} />`;

function LastError({ error, over }) {
  const code = error.code === null ? '' : `, NOTIFICATION ${error.code}/${error.subcode ?? 0}`;
  const who = error.direction === 'sent' ? ' sent by us' : error.direction === 'received' ? ' sent by the peer' : '';
  return html`<${Notice} kind=${over ? 'info' : 'bad'} title=${over ? 'Last error, over by now' : 'Last error'}>
    <p>${error.text} <span class="muted">(<${Past} at=${error.time} />${code}${who})</span></p>
  <//>`;
}

const Prefixes = ({ session: { id, gateway, prefixes } }) => html`<${Facts} facts=${[
  ['Received', html`<a href=${link('/routes', { gateway, session: id })}>${count(prefixes.received)}</a>`],
  ['Accepted', count(prefixes.accepted)],
  ['Refused by policy or limit', count(prefixes.rejected)],
  ['Of these above the limit', prefixes.shed ? html`<${Status} kind="warn">${count(prefixes.shed)}<//>` : '0'],
  ['Stale (kept over a restart)', prefixes.stale ? html`<${Status} kind="warn">${count(prefixes.stale)}<//>` : '0'],
  ['Announced to the peer', count(prefixes.advertised)],
]} />`;

const yes = (value) => (value ? 'yes' : 'no');

const Negotiated = ({ session: { negotiated: found, hold_time_configured: wanted } }) => html`<${Facts} facts=${[
  ['Hold time', `${found.hold_time ? duration(found.hold_time * 1000) : 'none: no KEEPALIVE'} (we want ${wanted} s)`],
  ['Families', found.families.join(', ')],
  ['Peer', `AS ${found.peer_asn ?? '–'}, router id ${found.peer_router_id ?? '–'}`],
  ['4-byte AS numbers', yes(found.asn4)],
  ['Route refresh', found.enhanced_refresh ? 'yes, enhanced' : yes(found.route_refresh)],
  ['Longest message', `${count(found.message_size)} bytes`],
  ['Graceful restart', found.graceful_restart_time === null ? 'no' : `${found.graceful_restart_time} s for ${found.graceful_restart_families.join(', ') || 'no family'}`],
  ['Peer can', found.peer_capabilities.join(', ')],
]} />`;

const Messages = ({ messages }) => html`<${Facts} facts=${[
  ['UPDATEs received', count(messages.updates_received)],
  ['Prefixes announced by the peer', count(messages.prefixes_announced)],
  ['Prefixes withdrawn by the peer', count(messages.prefixes_withdrawn)],
  ['End-of-RIB received', count(messages.end_of_rib_received)],
  ['NOTIFICATIONs', `${count(messages.notifications_sent)} sent, ${count(messages.notifications_received)} received`],
  ['Treated as withdrawal (RFC 7606)', count(messages.treated_as_withdraw)],
  ['Lost on the way to the daemon', messages.lost ? html`<${Status} kind="warn">${count(messages.lost)}<//>` : '0'],
]} />`;
