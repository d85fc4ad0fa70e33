// One tunnel: everything that is known of it, and of its BGP session.
import { html } from '../core/html.js';
import { all, api, path, Problem } from '../core/http.js';
import { link } from '../core/router.js';
import { useLive } from '../core/live.js';
import { trouble } from '../core/tunnels.js';
import { Empty, Loaded, Notice, Page } from '../ui/index.js';
import { Lane } from '../ui/lane.js';
import { Liveness } from './tunnel-liveness.js';
import { Ipsec } from './tunnel-ipsec.js';
import { Session } from './tunnel-session.js';

const EVERY = 5000;

async function load(id, signal) {
  const { data: tunnel } = await api.get(path`/v1/tunnels/${id}`, {}, { signal });
  const [session, connection, gateway, customers] = await Promise.all([
    tunnel.session_state === null ? null : present(path`/v1/bgp-sessions/${id}`, signal),
    present(path`/v1/vpn-connections/${tunnel.connection}`, signal),
    present(path`/v1/vpn-gateways/${tunnel.gateway}`, signal),
    all('/v1/customer-gateways', {}, { signal }),
  ]);
  return { tunnel, session, connection, gateway, customers };
}

/** What is at a path, or null if it went between two requests. */
async function present(where, signal) {
  try {
    return (await api.get(where, {}, { signal })).data;
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

export default function Tunnel({ params: { id } }) {
  const live = useLive((signal) => load(id, signal), { key: id, every: EVERY });
  const tunnel = live.data?.tunnel;
  const gone = live.error?.status === 404;
  return html`<${Page} title=${id} parent=${{ href: '#/', label: 'Topology' }} actions=${tunnel && !gone && html`<${Actions} tunnel=${tunnel} />`}>
    ${gone
      ? html`<${Empty} title="There is no such tunnel"><p>It may have gone with its connection. <a href="#/">Go to the topology</a>.</p><//>`
      : html`<${Loaded} live=${live}>${(found) => html`<${Everything} ...${found} />`}<//>`}
  <//>`;
}

const Actions = ({ tunnel }) => html`
  <a class="button" href=${link('/connections/:name/diagnosis', { tunnel: tunnel.tunnel }, { name: tunnel.connection })}>Diagnose</a>
  <a class="button" href=${link('/connections/:name', {}, { name: tunnel.connection })}>Connection ${tunnel.connection}</a>
  <a class="button" href=${link('/traffic', { tunnel: tunnel.id })}>Traffic</a>
  <a class="button" href=${link('/events', { subject: tunnel.id })}>Events</a>`;

function Everything({ tunnel, session, connection, gateway, customers }) {
  const name = connection?.config.tunnels[tunnel.tunnel - 1]?.customer_gateway;
  const why = trouble(tunnel);
  return html`
    <${Lane} plain tunnel=${tunnel} customer=${customers.find((one) => one.name === name) ?? null}
      address=${tunnel.ipsec?.ike?.local_address ?? gateway?.addresses[tunnel.tunnel - 1]} />
    ${why && html`<${Notice} kind=${tunnel.state === 'down' ? 'bad' : 'warn'} title=${`The tunnel is ${tunnel.state}`}>
      <p>${tunnel.state_reason}${why === tunnel.state_reason ? '' : `: ${why}`}. <a href=${link('/connections/:name/diagnosis', { tunnel: tunnel.tunnel }, { name: tunnel.connection })}>Find out why</a></p>
    <//>`}
    <${Liveness} tunnel=${tunnel} connection=${connection} />
    <${Ipsec} tunnel=${tunnel} />
    <${Session} session=${session} />`;
}
