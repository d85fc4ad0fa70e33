// A tunnel of a connection: how it does, and what can be done with it.
import { html } from '../core/html.js';
import { words } from '../core/format.js';
import { link } from '../core/router.js';
import { detection, ipsecKind, sessionKind, stateKind } from '../core/tunnels.js';
import { Ago, Facts, Role, Status } from '../ui/index.js';
import { Quiet } from './connection_quiet.js';
import { Doing } from './resources_rights.js';

/** `out`: an operator took it out of use; `single`: there is no other; `why`: nothing can be done, because. */
export function TunnelCard({ tunnel, out, single, why, onTakeOut, onGiveBack, onRestart }) {
  const noRestart = why ?? (tunnel.ipsec ? null : `somebody else makes ${tunnel.interface}`);
  const noOut = why ?? (single ? 'there is no other tunnel' : null);
  return html`<section class=${`conn-panel conn-card ${tunnel.carrying ? 'conn-carrying' : ''}`} aria-labelledby=${`card-${tunnel.id}`}>
    <header>
      <h2 id=${`card-${tunnel.id}`}>Tunnel ${tunnel.tunnel} <${Role} role=${tunnel.role} /></h2>
      ${tunnel.carrying && html`<strong class="conn-traffic">carries traffic</strong>`}
      ${out && html`<${Status} kind="warn">out of use<//>`}
    </header>
    <${Facts} facts=${[
      ['State', html`<${Status} kind=${stateKind(tunnel)}>${tunnel.state}<//> · <${Ago} at=${tunnel.since} />`],
      ['Why', tunnel.state_reason],
      ['IPsec', tunnel.ipsec
        ? html`<${Status} kind=${ipsecKind(tunnel.ipsec.status)}>${words(tunnel.ipsec.status)}<//>` : `external, ${tunnel.interface}`],
      ['BGP', tunnel.session_state && html`<${Status} kind=${sessionKind(tunnel.session_state)}>${words(tunnel.session_state)}<//>`],
      ['Detection', detection(tunnel).text],
      ['Still comes in', out && tunnel.state !== 'down' ? html`<${Quiet} tunnel=${tunnel} />` : null],
      ['Peer', html`<span class="mono">${tunnel.remote_address}</span>${tunnel.peer_address && html`, inside <span class="mono">${tunnel.peer_address}</span>`}`],
    ]} />
    <p class="actions">
      ${out
        ? html`<${Doing} why=${why} onClick=${onGiveBack}>Give it back…<//>`
        : html`<${Doing} why=${noOut} onClick=${onTakeOut}>Take out of use…<//>`}
      <${Doing} why=${noRestart} onClick=${onRestart}>Restart…<//>
      <a href=${link('/tunnels/:id', {}, tunnel)} aria-label=${`All about ${tunnel.id}`}>All about it</a>
    </p>
  </section>`;
}
