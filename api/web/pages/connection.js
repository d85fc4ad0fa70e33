// One VPN connection: what carries its traffic, and everything that can be done with it at run time.
import { html, useState } from '../core/html.js';
import { api, path as url } from '../core/http.js';
import { link } from '../core/router.js';
import { useActor } from '../core/session.js';
import { useLive } from '../core/live.js';
import { Facts, Loaded, Notice, Page, Past, Status, Time } from '../ui/index.js';
import { Maintenance } from './connection_maintenance.js';
import { Propagation } from './connection_propagation.js';
import { Restart } from './connection_restart.js';
import { TunnelCard } from './connection_tunnel.js';
import { WhatIf } from './connection_whatif.js';
import { editorOf, kindOf } from './resources_kinds.js';
import { Cannot, Doing, whyNot } from './resources_rights.js';

const KINDS = ['connection.', 'tunnel.', 'session.', 'ipsec.', 'bfd.', 'probe.', 'gateway.', 'guard.', 'config.'];
const OTHER = { active: 'standby', standby: 'active' };

export default function ConnectionPage({ params }) {
  const live = useLive(async (signal) => {
    const { data: connection } = await api.get(url`/v1/vpn-connections/${params.name}`, {}, { signal });
    const { data: gateway } = await api.get(url`/v1/vpn-gateways/${connection.gateway}`, {}, { signal });
    return { connection, gateway };
  }, { kinds: KINDS, every: 5_000, key: params.name });
  const place = (end) => link(`/connections/:name/${end}`, {}, params);
  const actions = html`
    <a class="button" href=${place('diagnosis')}>Diagnosis</a>
    <a class="button" href=${place('peer-config')}>Peer configuration</a>
    <a class="button" href=${editorOf(kindOf('vpn_connections'), params.name)}>Edit</a>`;
  return html`<${Page} title=${`Connection ${params.name}`} parent=${{ href: '#/', label: 'Topology' }} actions=${actions}>
    <${Loaded} live=${live}>${(data) => html`<${Connection} ...${data} reload=${live.reload} />`}<//>
  <//>`;
}

function Connection({ connection, gateway, reload }) {
  const [doing, setDoing] = useState(null);
  const why = whyNot(useActor(), 'operate');
  const close = () => { setDoing(null); reload(); };
  const out = connection.mode === 'auto' ? null : OTHER[connection.mode];
  const dialogs = { maintenance: Maintenance, restart: Restart, propagation: Propagation };
  const Dialog = doing && dialogs[doing.what];
  return html`
    <${Cannot} why=${why} />
    ${out && html`<${OutOfUse} connection=${connection} out=${out} why=${why} onGiveBack=${() => setDoing({ what: 'maintenance', mode: 'auto' })} />`}
    ${connection.warnings.map((warning) => html`<${Notice} key=${warning} kind="warn"><p>${warning}</p><//>`)}
    <${Overview} connection=${connection} gateway=${gateway} />
    <section class="conn-tunnels" aria-label="Tunnels">
      ${connection.tunnels.map((tunnel) => html`<${TunnelCard} key=${tunnel.id} tunnel=${tunnel} out=${tunnel.role === out}
        single=${connection.tunnels.length < 2} why=${why}
        onTakeOut=${() => setDoing({ what: 'maintenance', mode: OTHER[tunnel.role] })}
        onGiveBack=${() => setDoing({ what: 'maintenance', mode: 'auto' })}
        onRestart=${() => setDoing({ what: 'restart', tunnel })} />`)}
    </section>
    <div class="conn-more">
      <${PropagationPanel} gateway=${gateway} why=${why} onTurn=${(on) => setDoing({ what: 'propagation', on })} />
      <${WhatIf} connection=${connection} />
    </div>
    ${doing && html`<${Dialog} ...${doing} connection=${connection} gateway=${gateway} onClose=${close} />`}`;
}

const PropagationPanel = ({ gateway, why, onTurn }) => html`<section class="conn-panel">
    <h2>Automatic propagation</h2>
    <p>${gateway.auto_propagate
      ? html`<${Status} kind="good">on<//>: ${gateway.advertised.join(', ') || 'nothing'} is advertised, ${
        gateway.routes_installed} of ${gateway.routes_learned} learned prefixes are in the table of ${gateway.vpc}.`
      : html`<${Status} kind="off">off<//>: nothing is advertised, and no learned prefix is in the table of ${gateway.vpc}.`}</p>
    <p class="hint">It belongs to VPN gateway ${gateway.name}, with all of its connections.</p>
    <p class="actions"><${Doing} why=${why} onClick=${() => onTurn(!gateway.auto_propagate)}>
      ${gateway.auto_propagate ? 'Turn off…' : 'Turn on…'}<//></p>
  </section>`;

/** Above everything while an operator has taken a tunnel out of use. */
function OutOfUse({ connection, out, why, onGiveBack }) {
  const { choice } = connection;
  const number = out === 'active' ? 1 : 2;
  return html`<${Notice} kind="warn" title=${`Tunnel ${number} is out of use`}>
    <p>${choice?.reason ? html`<q>${choice.reason}</q> – ` : ''}${choice?.by ? html`by ${choice.by}, <${Time} at=${choice.at} /> (<${Past} at=${choice.at} />).` : ''}
      ${' '}Traffic stays on the other tunnel, over restarts too, until the choice is given back. If that one fails, tunnel ${number} takes over.</p>
    <${Doing} why=${why} onClick=${onGiveBack}>Give it back…<//>
  <//>`;
}

function Overview({ connection, gateway }) {
  const carrying = connection.carrying
    ? html`<${Status} kind="good">${connection.carrying}<//>` : html`<${Status} kind="bad">no tunnel is live<//>`;
  return html`<${Facts} facts=${[
    ['Traffic over', carrying],
    ['VPN gateway', html`${gateway.name}, VPC ${gateway.vpc}`],
    ['AS number', connection.config.enable_bgp ? connection.local_asn : 'no BGP: static routes'],
    ['Switchovers', html`${connection.switchovers}${connection.last_switchover ? html`, the last <${Past} at=${connection.last_switchover} />` : ''}`],
    ['Why', connection.last_switchover_reason],
    ['Failback after', `${connection.config.failback_hold_down} s`],
    ['Status', connection.status_reason ? `${connection.status}: ${connection.status_reason}` : connection.status],
  ]} />`;
}
