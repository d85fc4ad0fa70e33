// What there is and how it does: VPCs, gateways, connections, tunnels, peers; live.
import { html, useState } from '../core/html.js';
import { all, api } from '../core/http.js';
import { count, plural } from '../core/format.js';
import { link } from '../core/router.js';
import { useLive } from '../core/live.js';
import { attention } from '../core/tunnels.js';
import { Loaded, Page, Status } from '../ui/index.js';
import { Latest } from './topology-latest.js';
import { Gateway } from './topology-gateway.js';
import { NothingYet } from './topology-empty.js';

const KINDS = ['vpcs', 'vpn-gateways', 'customer-gateways', 'vpn-connections'];
/** From so many connections on one wants to look for one by name. */
const MANY = 6;
/** So many connections are drawn at first: each redraw of thousands would hold the page up for seconds. */
const DRAWN = 50;
/** So many lines of what needs a look. */
const WARNED = 20;
/** What no event tells of (byte counters, a route count) is at most this old, in ms. */
const EVERY = 10_000;

async function load(signal) {
  const [vpcs, gateways, customers, connections] = await Promise.all(KINDS.map((kind) => all(`/v1/${kind}`, {}, { signal })));
  return { vpcs, gateways, customers, connections };
}

export default function Topology() {
  const live = useLive(load, { every: EVERY });
  const latest = useLive(async (signal) => (await api.get('/v1/events', { limit: 6 }, { signal })).data.items.reverse());
  return html`<${Page} title="Topology">
    <${Loaded} live=${live}>${(found) => (empty(found)
      ? html`<${NothingYet} found=${found} />`
      : html`<${Picture} found=${found} />`)}<//>
    <${Latest} live=${latest} />
  <//>`;
}

const empty = ({ gateways, connections }) => gateways.length === 0 || connections.length === 0;

function Picture({ found }) {
  const [text, setText] = useState('');
  const [most, setMost] = useState(DRAWN);
  const { vpcs, gateways, customers, connections } = found;
  const wanted = text.trim().toLowerCase();
  const fitting = wanted ? connections.filter((one) => mentions(one, wanted)) : connections;
  const shown = fitting.slice(0, most);
  return html`
    <${Attention} connections=${connections} />
    ${connections.length >= MANY && html`<p class="topology-filter"><label>Show <input type="search" value=${text}
      placeholder="connection, gateway or address" onInput=${(event) => setText(event.target.value)} /></label>
      <span class="muted">${shown.length} of ${plural(connections.length, 'connection')}</span></p>`}
    ${gateways.map((gateway) => {
      const own = shown.filter((one) => one.gateway === gateway.name);
      if (own.length === 0 && (wanted || connections.some((one) => one.gateway === gateway.name))) return null;
      return html`<${Gateway} key=${gateway.name} gateway=${gateway} connections=${own} customers=${customers}
        vpc=${vpcs.find((one) => one.name === gateway.vpc)} />`;
    })}
    ${fitting.length > shown.length && html`<p class="actions"><button type="button" onClick=${() => setMost(2 * most)}>Show more</button>
      <span class="muted">${count(fitting.length - shown.length)} more: look for them by name</span></p>`}`;
}

const mentions = ({ name, gateway, tunnels }, text) => [name, gateway, ...tunnels.map((tunnel) => tunnel.remote_address)]
  .some((word) => word.toLowerCase().includes(text));

/** One line while all is well; else what is wrong, worst first. */
function Attention({ connections }) {
  const found = attention(connections);
  if (found.length === 0) {
    return html`<p class="topology-calm"><${Status} kind="good">
      ${connections.length === 1 ? 'The connection is' : `All ${connections.length} connections are`} up and redundant<//></p>`;
  }
  return html`<section class="topology-attention" aria-labelledby="attention">
    <h2 id="attention">Needs attention</h2>
    <ul>${found.slice(0, WARNED).map(({ id, tunnel, kind, text }) => html`<li key=${id + text}>
      <${Status} kind=${kind}><a href=${tunnel ? link('/tunnels/:id', {}, { id }) : link('/connections/:id', {}, { id })}>${id}</a><//>
      <span>${text}</span>
    </li>`)}
      ${found.length > WARNED && html`<li class="muted">and ${count(found.length - WARNED)} more</li>`}</ul>
  </section>`;
}
