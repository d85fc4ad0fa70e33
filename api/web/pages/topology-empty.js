// Nothing to draw yet: what is there already, and the next thing to make.
import { html } from '../core/html.js';
import { can, useActor } from '../core/session.js';
import { Empty, Status } from '../ui/index.js';

const STEPS = [
  ['vpcs', 'vpcs', 'A VPC', 'the network behind this gateway: its address ranges and its route table'],
  ['gateways', 'vpn-gateways', 'A VPN gateway', 'belongs to the VPC and has two public addresses, one for each tunnel'],
  ['customers', 'customer-gateways', 'A customer gateway', 'the other side: its public address, and its AS number for BGP'],
  ['connections', 'vpn-connections', 'A VPN connection', 'joins the two over two tunnels'],
];

export function NothingYet({ found }) {
  const actor = useActor();
  const next = STEPS.find(([key]) => found[key].length === 0);
  return html`<${Empty} title="No connection yet">
    <p>Four things make one, in this order:</p>
    <ol class="steps">${STEPS.map(([key, kind, title, text]) => html`<li key=${key}>
      <${Status} kind=${found[key].length ? 'good' : 'off'}>${found[key].length ? 'there' : 'missing'}<//>
      <span><a href=${`#/resources/${kind}${found[key].length ? '' : '/new'}`}>${title}</a>: ${text}</span>
    </li>`)}</ol>
    ${actor.read_only
      ? html`<p>They are made in a file: ${actor.read_only_reason}.</p>`
      : can('admin', actor)
        ? html`<p class="actions"><a class="button primary" href=${`#/resources/${next[1]}/new`}>Make ${next[2].replace(/^A/, 'a')}</a></p>`
        : html`<p>Making them needs the scope admin; you have ${actor.scope}.</p>`}
    <p class="hint">Or all at once with <code>bgpsvc apply -f FILE</code>; <code>bgpsvc import</code> turns what a cloud's console
      gives you into such a file.</p>
  <//>`;
}
