// State of a tunnel, and how its death would be noticed.
import { html } from '../core/html.js';
import { count, duration, plural, words } from '../core/format.js';
import { methodName, stateKind } from '../core/tunnels.js';
import { Ago, Facts, Role, Status, Table, Time } from '../ui/index.js';

export const Liveness = ({ tunnel, connection }) => html`
  <section aria-labelledby="state"><h2 id="state">State</h2><${Facts} facts=${[
    ['State', html`<${Status} kind=${stateKind(tunnel)}>${tunnel.state}<//>`],
    ['Because', tunnel.state_reason],
    ['Since', html`<${Time} at=${tunnel.since} /> (<${Ago} at=${tunnel.since} />)`],
    ['Role', html`<${Role} role=${tunnel.role} />`],
    ['Traffic', traffic(tunnel, connection)],
    ['Interface', html`<code>${tunnel.interface}</code>, link ${tunnel.link_up ? 'up' : 'down'}`],
    ['Inside addresses', tunnel.local_address && html`<span class="mono">${tunnel.local_address}</span> here, <span class="mono">${tunnel.peer_address}</span> there`],
    ['Carries again after', `${tunnel.hold_down} s of being up${tunnel.flapping ? ': longer than configured, because it keeps failing' : ''}`],
    ['Health check', tunnel.health && html`<${Status} kind=${tunnel.health === 'healthy' ? 'good' : 'bad'}>${tunnel.health}<//> ${tunnel.health_reason}`],
  ]} /></section>
  <section aria-labelledby="detection"><h2 id="detection">Detection</h2>
    <${Table} caption="How the death of this tunnel would be noticed, fastest first" columns=${COLUMNS}
      rows=${tunnel.detection} rowKey=${(one) => one.method} />
    ${tunnel.bfd && html`<${Bfd} bfd=${tunnel.bfd} />`}
  </section>`;

function traffic(tunnel, connection) {
  if (tunnel.carrying) return html`<strong>carries the connection's traffic</strong>`;
  return connection?.carrying ? `goes over ${connection.carrying}` : 'none: no tunnel of the connection is live';
}

const COLUMNS = [
  { key: 'method', label: 'By', render: (one) => methodName(one.method) },
  {
    key: 'in_force', label: 'In force',
    render: (one) => (one.in_force ? html`<${Status} kind="good">in force<//>` : html`<${Status} kind="off">not now<//>`),
  },
  { key: 'worst_case_ms', label: 'Within', align: 'end', render: (one) => (one.worst_case_ms === null ? '–' : `${count(one.worst_case_ms)} ms`) },
  { key: 'state', label: 'Sees', render: (one) => html`<${Status} kind=${{ up: 'good', down: 'bad', waiting: 'off' }[one.state]}>${one.state}<//>` },
  { key: 'reason', label: 'Because', text: true },
];

const Bfd = ({ bfd }) => html`<details><summary>BFD session</summary><${Facts} facts=${[
  ['State', `${words(bfd.state)} here, ${words(bfd.remote_state)} there`],
  ['Since', html`<${Time} at=${bfd.since} />`],
  ['Went down because', `${bfd.diagnostic} (here), ${bfd.remote_diagnostic} (there)`],
  ['Sends every', duration(bfd.transmit_ms)],
  ['Takes one every', duration(bfd.receive_ms)],
  ['Detection time', duration(bfd.detection_ms)],
  ['Packets', `${count(bfd.sent)} sent, ${count(bfd.received)} received, ${count(bfd.rejected)} refused`],
  ['Last refused because', bfd.last_rejected],
  ['Went down', plural(bfd.flaps, 'time')],
  ['Discriminators', `${bfd.local_discriminator} here, ${bfd.remote_discriminator} there`],
]} /></details>`;
