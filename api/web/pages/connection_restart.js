// A tunnel is negotiated anew.
import { html } from '../core/html.js';
import { api, path as url } from '../core/http.js';
import { plural } from '../core/format.js';
import { ConfirmDialog } from '../ui/index.js';
import { useDryRun } from './connection_ask.js';

export function Restart({ tunnel, connection, onClose }) {
  const where = url`/v1/tunnels/${tunnel.id}/restart`;
  const { data, error } = useDryRun(() => api.post(where, undefined, { dryRun: true }).then((answer) => answer.data), `${tunnel.id} ${connection.carrying}`);
  return html`<${ConfirmDialog} title=${`Restart ${tunnel.id}?`} danger=${Boolean(data?.prefixes_lost || (data?.carrying && !data.to_tunnel))}
    plan=${data && html`<${What} plan=${data} />`} error=${error} confirm=${{ label: 'Restart', run: () => api.post(where) }}
    done=${`${tunnel.id} is negotiated anew`} onClose=${onClose}>
    <p>Its IKE and IPsec security associations are ended and negotiated anew.</p>
  <//>`;
}

const What = ({ plan }) => html`<div class="plan"><h3>What will happen</h3><ul>
  <li>${plan.note[0].toUpperCase()}${plan.note.slice(1)}.</li>
  ${plan.prefixes_moved > 0 && html`<li>${plural(plan.prefixes_moved, 'prefix', 'prefixes')} move to another tunnel meanwhile.</li>`}
  ${plan.prefixes_lost > 0 && html`<li><strong>${plural(plan.prefixes_lost, 'prefix', 'prefixes')} lead nowhere meanwhile.</strong></li>`}
  ${plan.carrying && html`<li>To lose nothing, take the tunnel out of use first: packets on their way are lost when it ends.</li>`}
</ul></div>`;
