// IKE and IPsec of a tunnel.
import { html } from '../core/html.js';
import { bytes, count, plural, words } from '../core/format.js';
import { ipsecKind, mismatch } from '../core/tunnels.js';
import { Ago, Facts, Notice, Past, Status, Table, Time } from '../ui/index.js';

export function Ipsec({ tunnel: { ipsec, interface: device } }) {
  return html`<section aria-labelledby="ipsec"><h2 id="ipsec">IPsec</h2>
    ${ipsec ? html`<${Known} ipsec=${ipsec} />`
      : html`<p>Somebody else makes the interface <code>${device}</code>: of its encryption nothing is known here.</p>`}
  </section>`;
}

const Known = ({ ipsec }) => html`
  <${Facts} facts=${[
    ['Status', html`<${Status} kind=${ipsecKind(ipsec.status)}>${words(ipsec.status)}<//>`],
    ['Because', ipsec.reason],
    ['Since', html`<${Time} at=${ipsec.since} /> (<${Ago} at=${ipsec.since} />)`],
    ['Next attempt', ipsec.retry_at && html`<${Time} at=${ipsec.retry_at} />`],
    ['Made by', ipsec.driver === 'xfrm' ? 'the kernel (XFRM)' : ipsec.driver === 'userspace' ? 'a charon of its own, in user space' : words(ipsec.driver)],
    ['MTU', ipsec.mtu && `${ipsec.mtu} bytes`],
    ['Came up', `${plural(ipsec.established_count, 'time')}; rekeyed ${plural(ipsec.rekey_count, 'time')}`],
    ['Read', html`<${Past} at=${ipsec.seen_at} />`],
  ]} />
  ${ipsec.last_error && html`<${LastError} error=${ipsec.last_error} over=${ipsec.status === 'ipsec_sa_established'} />`}
  ${ipsec.ike && html`<${Ike} ike=${ipsec.ike} />`}`;

const LastError = ({ error, over }) => html`<${Notice} kind=${over ? 'info' : 'bad'} title=${over ? 'Last error, over by now' : 'Last error'}>
  <p>${mismatch(error)} <span class="muted">(${words(error.cause)}, <${Past} at=${error.time} />)</span></p>
<//>`;

const end = (address, port, id, nat) => html`<span class="mono">${address}:${port}</span> as ${id}${nat ? ', behind NAT or encapsulated' : ''}`;

const Ike = ({ ike }) => html`
  <details open><summary>IKE SA ${ike.unique_id}</summary><${Facts} facts=${[
    ['State', `${words(ike.state).toLowerCase()} (${ike.version === 'ikev2' ? 'IKEv2' : 'IKEv1'}), begun ${ike.initiator ? 'here' : 'there'}`],
    ['Here', end(ike.local_address, ike.local_port, ike.local_id, ike.nat_local)],
    ['There', end(ike.remote_address, ike.remote_port, ike.remote_id, ike.nat_remote)],
    ['Algorithms', [ike.encryption, ike.authentication, ike.group].filter(Boolean).join(', ') || 'not agreed on yet'],
    ['Established', html`<${Time} at=${ike.established_at} />`],
    ['Rekeyed at', html`<${Time} at=${ike.rekey_at} />`],
    ['SPIs', html`<span class="mono">${ike.spi_initiator} ${ike.spi_responder}</span>`],
  ]} /></details>
  <${Table} caption="CHILD SAs" columns=${CHILDREN} rows=${ike.children} rowKey=${(one) => one.unique_id} empty="There is none" />`;

const CHILDREN = [
  { key: 'unique_id', label: 'SA' },
  { key: 'state', label: 'State', render: (one) => one.state.toLowerCase() },
  { key: 'in', label: 'In', align: 'end', render: (one) => `${bytes(one.bytes_in)}, ${count(one.packets_in)} packets` },
  { key: 'out', label: 'Out', align: 'end', render: (one) => `${bytes(one.bytes_out)}, ${count(one.packets_out)} packets` },
  { key: 'algorithms', label: 'Algorithms', render: (one) => [one.encryption, one.authentication, one.pfs].filter(Boolean).join(', ') },
  { key: 'selectors', label: 'Selectors', render: (one) => html`<span class="mono">${one.local_selectors.join(', ')} ↔ ${one.remote_selectors.join(', ')}</span>` },
  { key: 'rekey_at', label: 'Rekeyed at', render: (one) => html`<${Time} at=${one.rekey_at} />` },
  { key: 'spi', label: 'SPIs in, out', narrow: 'hide', render: (one) => html`<span class="mono">${one.spi_in} ${one.spi_out}</span>` },
  { key: 'encapsulated', label: 'In UDP', narrow: 'hide', render: (one) => (one.encapsulated ? 'yes' : 'no') },
];
