// What there is and how it does: gateways, connections, tunnels; live.
import { html } from '../core/html.js';
import { all } from '../core/http.js';
import { duration, plural, words } from '../core/format.js';
import { link } from '../core/router.js';
import { useLive } from '../core/live.js';
import { Empty, Loaded, Page, Role, Status } from '../ui/index.js';

const load = async (signal) => {
  const [vpcs, gateways, connections] = await Promise.all(
    ['vpcs', 'vpn-gateways', 'vpn-connections'].map((kind) => all(`/v1/${kind}`, {}, { signal })),
  );
  return { vpcs, gateways, connections };
};

export default function Topology() {
  const live = useLive(load, { every: 10_000 });
  return html`<${Page} title="Topology">
    <${Loaded} live=${live}>${({ gateways, connections }) => (gateways.length === 0
      ? html`<${Nothing} />`
      : gateways.map((gateway) => html`<${Gateway} key=${gateway.name} gateway=${gateway}
          connections=${connections.filter((one) => one.gateway === gateway.name)} />`))}<//>
  <//>`;
}

const Nothing = () => html`<${Empty} title="Nothing is configured yet">
  <p>Make a VPC, a VPN gateway, a customer gateway and a connection: <a href="#/resources">Resources</a>.</p>
<//>`;

const Gateway = ({ gateway, connections }) => html`<section>
  <h2>${gateway.name}</h2>
  <p>VPC ${gateway.vpc} · ${gateway.addresses.join(', ')} · ${plural(gateway.routes_learned, 'route')} learned</p>
  ${connections.map((connection) => html`<section key=${connection.name}>
    <h3>${connection.name}</h3>
    <ul>${connection.tunnels.map((tunnel) => html`<${Tunnel} key=${tunnel.id} tunnel=${tunnel} />`)}</ul>
  </section>`)}
</section>`;

function Tunnel({ tunnel }) {
  const detection = tunnel.detection.find((one) => one.in_force);
  return html`<li>
    <a href=${link('/tunnels/:id', {}, { id: tunnel.id })}>${tunnel.id}</a> <${Role} role=${tunnel.role} />
    <${Status} kind=${{ live: 'good', warming: 'warn', down: 'bad' }[tunnel.state]} title=${tunnel.state_reason}>${tunnel.state}<//>
    ${tunnel.carrying && html`<strong> carries traffic</strong>`}
    ${detection && html` <span>${words(detection.method)}, within ${duration(detection.worst_case_ms)}</span>`}
  </li>`;
}
