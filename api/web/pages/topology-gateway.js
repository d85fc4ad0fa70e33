// One VPN gateway with its VPC on one side and its connections on the other.
import { html } from '../core/html.js';
import { plural } from '../core/format.js';
import { link } from '../core/router.js';
import { connectionState } from '../core/tunnels.js';
import { Past, Status } from '../ui/index.js';
import { Lane } from '../ui/lane.js';

export const Gateway = ({ gateway, vpc, connections, customers }) => html`<section class="gateway" aria-label=${`VPN gateway ${gateway.name}`}>
  <${Vpc} vpc=${vpc} name=${gateway.vpc} gateway=${gateway} />
  <${Box} gateway=${gateway} />
  <div class="gateway-connections">
    ${connections.length === 0 && html`<p class="muted">No connection yet: <a href="#/resources/vpn-connections/new">make one</a>.</p>`}
    ${connections.map((connection) => html`<${Connection} key=${connection.name} connection=${connection} gateway=${gateway} customers=${customers} />`)}
  </div>
</section>`;

const Vpc = ({ vpc, name, gateway }) => html`<div class="node node-vpc">
  <p class="node-kind">VPC</p>
  <h2><a href=${link('/resources/vpcs/:name', {}, { name })}>${name}</a></h2>
  ${vpc && html`
    <ul class="node-list mono">${vpc.cidrs.map((cidr) => html`<li key=${cidr}>${cidr}</li>`)}</ul>
    <p><a href=${link('/routes', { gateway: gateway.name, state: 'installed' })}>${plural(vpc.routes_installed, 'route')}</a> in table ${vpc.route_table}</p>`}
</div>`;

const Box = ({ gateway }) => html`<div class="node node-gateway">
  <p class="node-kind">VPN gateway</p>
  <h2><a href=${link('/resources/vpn-gateways/:name', {}, { name: gateway.name })}>${gateway.name}</a></h2>
  <dl class="node-addresses">${gateway.addresses.map((address, i) => html`<div key=${address}><dt>Tunnel ${i + 1}</dt><dd class="mono">${address}</dd></div>`)}</dl>
  <p><a href=${link('/routes', { gateway: gateway.name })}>${plural(gateway.routes_learned, 'prefix', 'prefixes')}</a> learned</p>
  <p>${plural(gateway.advertised.length, 'prefix', 'prefixes')} announced${gateway.advertised.length === 1000 ? ' or more' : ''}</p>
  <p><${Status} kind=${gateway.auto_propagate ? 'good' : 'off'} title="Learned prefixes go into the VPC's route table, and peers hear of its ranges">
    propagation ${gateway.auto_propagate ? 'on' : 'off'}<//></p>
  ${gateway.status !== 'active' && html`<p><${Status} kind="warn" title=${gateway.status_reason}>${gateway.status}<//></p>`}
</div>`;

function Connection({ connection, gateway, customers }) {
  const state = connectionState(connection);
  const settings = connection.config.tunnels;
  const customer = (tunnel) => customers.find((one) => one.name === settings[tunnel.tunnel - 1]?.customer_gateway) ?? null;
  return html`<section class="connection" aria-label=${`Connection ${connection.name}`}>
    <header>
      <h3><a href=${link('/connections/:name', {}, { name: connection.name })}>${connection.name}</a></h3>
      <${Status} kind=${state.kind} title=${state.reason}>${state.word}<//>
      ${connection.switchovers > 0 && html`<span class="muted">${plural(connection.switchovers, 'switchover')}, the last <${Past} at=${connection.last_switchover} />: ${connection.last_switchover_reason}</span>`}
      <a class="connection-diagnosis" href=${link('/connections/:name/diagnosis', {}, { name: connection.name })}>Diagnosis</a>
    </header>
    ${connection.choice && html`<${Choice} mode=${connection.mode} choice=${connection.choice} />`}
    ${connection.tunnels.length === 0 && html`<p class="muted">${state.reason}</p>`}
    ${connection.tunnels.map((tunnel) => html`<${Lane} key=${tunnel.id} tunnel=${tunnel} customer=${customer(tunnel)}
      address=${tunnel.ipsec?.ike?.local_address ?? gateway.addresses[tunnel.tunnel - 1]} />`)}
  </section>`;
}

const Choice = ({ mode, choice: { by, at, reason } }) => html`<p class="connection-choice">
  Held on the ${mode} tunnel${by && ` by ${by}`}${at && html`, <${Past} at=${at} />`}${reason && `: ${reason}`}
</p>`;
