// Maintenance: a tunnel is taken out of use, and given back.
import { html, useState } from '../core/html.js';
import { api, path as url } from '../core/http.js';
import { plural } from '../core/format.js';
import { ConfirmDialog, Field } from '../ui/index.js';
import { useDryRun } from './connection_ask.js';
import { Fates } from './connection_whatif.js';

/** When another tunnel carries or is usable, the plan is another one. */
const standing = ({ carrying, tunnels }) => `${carrying} ${tunnels.map(({ state }) => state)}`;
const NUMBERS = { active: 1, standby: 2 };

/** `mode`: the role that carries from then on, or `auto`. */
export function Maintenance({ connection, mode, onClose }) {
  const [reason, setReason] = useState('');
  const [error, setError] = useState(null);
  const out = mode === 'auto' ? null : 3 - NUMBERS[mode];
  const send = (options) => api.post(url`/v1/vpn-connections/${connection.name}/switch`,
    { mode, ...(reason.trim() ? { reason: reason.trim() } : {}) }, options);
  const { data, error: refused } = useDryRun(() => api.post(url`/v1/vpn-connections/${connection.name}/switch`,
    { mode }, { dryRun: true }).then((answer) => answer.data), `${mode} ${standing(connection)}`);
  const run = async () => {
    try {
      return await send({});
    } catch (problem) {
      setError(problem.errors.find(({ pointer }) => pointer === '#/reason')?.detail ?? null);
      throw problem;
    }
  };
  const title = out ? `Take tunnel ${out} of ${connection.name} out of use?` : `Give the choice of the tunnel of ${connection.name} back?`;
  return html`<${ConfirmDialog} title=${title} plan=${data && html`<${What} plan=${data} connection=${connection} out=${out} />`} error=${refused}
    confirm=${{ label: out ? `Take tunnel ${out} out of use` : 'Give it back', run }}
    onClose=${onClose}>
    <p>${out
      ? `For maintenance of tunnel ${out}, here or at the other side. It stays up, and takes over if the other one fails.`
      : 'Role and health decide again which tunnel carries the traffic.'}</p>
    <${Field} label="Reason" name="reason" error=${error} hint=${out ? 'Shown to everybody until it is given back; kept in events and audit log.' : 'Kept in events and audit log.'}>
      <input type="text" maxlength="200" autocomplete="off" value=${reason} onInput=${(event) => setReason(event.target.value)} />
    <//>
  <//>`;
}

function What({ plan, connection, out }) {
  const both = connection.tunnels.filter((tunnel) => tunnel.state !== 'down').length > 1;
  return html`<div class="plan">
    <h3>What will happen</h3>
    <ul>
      <li>${plan.note[0].toUpperCase()}${plan.note.slice(1)}${plan.prefixes_moved > 0 ? `: ${plural(plan.prefixes_moved, 'prefix', 'prefixes')}, by ${
        plural(plan.groups_replaced, 'change', 'changes')} in the kernel, no packet lost` : ''}.</li>
      ${plan.drained && html`<li>The peer is asked to leave ${plan.drained} too (worse MED, GRACEFUL_SHUTDOWN). Its card says when it is quiet:
        take it down only then.</li>`}
      ${!plan.changed && html`<li>It is so already.</li>`}
      ${out && !both && html`<li><strong>No other tunnel is usable: traffic stays where it is.</strong></li>`}
    </ul>
    ${out && plan.to_tunnel && both && html`<details><summary>What if ${plan.to_tunnel} fails meanwhile?</summary>
      <${Fates} gateway=${connection.gateway} question=${{ fail_tunnels: [plan.to_tunnel] }} /></details>`}
  </div>`;
}
