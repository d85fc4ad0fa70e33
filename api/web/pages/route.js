// The story of one prefix: who announces it, what import said, who won at which step, and where packets go.
import { html, useState } from '../core/html.js';
import { api, path } from '../core/http.js';
import { words } from '../core/format.js';
import { useLive } from '../core/live.js';
import { link, navigate } from '../core/router.js';
import { CopyButton, Empty, Facts, Loaded, Page, Status, Table } from '../ui/index.js';
import { Decision } from './route_decision.js';
import { Paths } from './route_paths.js';
import { PrefixLink, RouteState } from './routes_rows.js';

/** What is asked changes without an event when routes are on their way to the kernel. */
const EVERY = 5000;

export default function Route({ params: { gateway, prefix } }) {
  const where = path`/v1/vpn-gateways/${gateway}/routes/${prefix}/explain`;
  const live = useLive(async (signal) => (await api.get(where, {}, { signal })).data, { every: EVERY, key: where });
  const back = { href: link('/routes', { gateway }), label: `Routes of ${gateway}` };
  const shown = live.data?.prefix ?? prefix;
  const actions = html`<${Other} gateway=${gateway} /><${CopyButton} text=${shown} label="Copy prefix" /><${CopyButton} text=${location.href} label="Copy link" />`;
  return html`<${Page} title=${shown} parent=${back} actions=${actions}>
    ${live.error?.status === 404 && !live.data ? html`<${Unknown} gateway=${gateway} asked=${prefix} detail=${live.error.detail} />`
      : html`<${Loaded} live=${live}>${(told) => html`<${Story} told=${told} gateway=${gateway} />`}<//>`}
  <//>`;
}

const Unknown = ({ gateway, asked, detail }) => html`<${Empty} title=${`No route to ${asked}`}>
  <p>${detail}</p><p><a href=${link('/routes', { gateway, prefix: asked, match: 'covering' })}>What contains it</a></p>
<//>`;

/** Another prefix or address of the same gateway. */
function Other({ gateway }) {
  const [text, setText] = useState('');
  const go = (event) => {
    event.preventDefault();
    if (text.trim()) navigate('/routes/:gateway/:prefix', {}, { params: { gateway, prefix: text.trim() } });
    setText('');
  };
  return html`<form class="actions route-other" onSubmit=${go}><input type="search" aria-label="Another prefix or address" placeholder="another prefix or address"
    value=${text} maxlength="64" autocomplete="off" onInput=${(event) => setText(event.target.value)} />
    <button type="submit">Explain</button></form>`;
}

function Story({ told, gateway }) {
  const { asked, prefix, hops, lookup, paths } = told;
  return html`
    <div class="route-summary" data-state=${told.state}>
      <p><${RouteState} state=${told.state} title=${told.reason ? words(told.reason) : null} /></p>
      <p class="route-said">${told.summary}</p>
      ${asked !== prefix && paths.length > 0 && html`<p class="muted">Asked for <span class="mono">${asked}</span>, whose longest match this is.</p>`}
    </div>
    <${Facts} facts=${facts(told, gateway)} />
    <section><h2>Who announces it</h2><${Paths} paths=${paths} /></section>
    <section><h2>The decision</h2><${Decision} steps=${told.decision} paths=${paths} /></section>
    <section><h2>Where it leads</h2><${Hops} hops=${hops} /></section>
    <section><h2>What the kernel asks, in its order</h2><${Lookup} stages=${lookup} /></section>`;
}

const facts = (told, gateway) => [
  ['Gateway', told.gateway],
  ['VPC', html`<a href=${link('/routes', { gateway, view: 'table', prefix: told.prefix, match: 'covering' })}>${told.vpc}</a>`],
  ['Interface', told.interface && html`<span class="mono">${told.interface}</span>`],
  ['Nexthop group', told.nexthop_group && html`<span class="mono">${told.nexthop_group}</span>`],
  ['Kernel', told.kernel],
  ['Used meanwhile', told.less_specific && html`<${PrefixLink} gateway=${gateway} prefix=${told.less_specific} />`],
];

const KINDS = { live: 'good', warming: 'warn', down: 'bad', stale: 'warn' };

function Hops({ hops }) {
  if (hops.length === 0) return html`<p class="muted">Nowhere: nobody has a path that may be used.</p>`;
  return html`<${Table} caption="Hops, the preferred one first" rows=${hops} rowKey=${({ session }) => session} columns=${[
    { key: 'session', label: 'Tunnel', render: ({ session }) => html`<a href=${link('/tunnels/:id', {}, { id: session })}>${session}</a>` },
    { key: 'chosen', label: 'Traffic', render: ({ chosen }) => (chosen ? html`<${Status} kind="good">takes it<//>` : html`<span class="muted">does not take it</span>`) },
    { key: 'tunnel_state', label: 'State', render: ({ tunnel_state: state }) => html`<${Status} kind=${KINDS[state] ?? 'off'}>${state}<//>` },
    { key: 'tunnel_reason', label: 'Because', text: true },
    { key: 'interface', label: 'Interface', narrow: 'hide', render: (hop) => html`<span class="mono">${hop.interface}</span>` },
    { key: 'next_hop', label: 'Next hop', narrow: 'hide', render: (hop) => html`<span class="mono">${hop.next_hop}</span>` },
  ]} />`;
}

const Lookup = ({ stages }) => html`<ol class="route-lookup">
  ${stages.map(({ stage, route, wins, text }) => html`<li key=${stage + route} class=${wins ? 'wins' : ''}>
    <strong>${words(stage)}</strong>${' '}${wins && html`<${Status} kind="good">packets end here<//>`}
    <p>${text}</p>
  </li>`)}
</ol>`;
