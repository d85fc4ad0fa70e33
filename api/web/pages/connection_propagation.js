// The switch of automatic propagation of a VPN gateway.
import { html } from '../core/html.js';
import { api, path as url } from '../core/http.js';
import { ConfirmDialog, Plan } from '../ui/index.js';
import { useDryRun } from './connection_ask.js';
import { Fates } from './connection_whatif.js';

export function Propagation({ gateway, on, onClose }) {
  const where = url`/v1/vpn-gateways/${gateway.name}`;
  const etag = `"${gateway.etag}"`;
  const { data, error } = useDryRun(() => api.patch(where, { auto_propagate: on }, { dryRun: true, etag }).then((answer) => answer.data), on);
  const plan = data && html`<${Plan} plan=${data.plan} /><h3>What that means for routes</h3>
    <${Fates} gateway=${gateway.name} question=${{ auto_propagate: on }} />`;
  return html`<${ConfirmDialog} title=${`Turn automatic propagation of ${gateway.name} ${on ? 'on' : 'off'}?`} danger=${!on} plan=${plan} error=${error}
    confirm=${{ label: `Turn ${on ? 'on' : 'off'}`, run: () => api.patch(where, { auto_propagate: on }, { etag }) }}
    done=${`Propagation of ${gateway.name} is ${on ? 'on' : 'off'}`} onClose=${onClose}>
    <p>${on
      ? "The VPC's networks are advertised to the peers, and learned prefixes go into the VPC's route table."
      : "Nothing is advertised any more, and learned prefixes leave the VPC's route table. Sessions stay up."}</p>
  <//>`;
}
