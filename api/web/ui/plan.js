// What a write would do, as its dry run told: to traffic first, then to resources field by field.
import { html } from '../core/html.js';
import { count, plural, words } from '../core/format.js';

const PARTS = [['tunnels', 'Tunnels'], ['sessions', 'BGP sessions'], ['kernel', 'Kernel'], ['peers', 'Peers hear']];

const LABELS = {
  vpcs: 'VPC', vpn_gateways: 'VPN gateway', customer_gateways: 'customer gateway', vpn_connections: 'VPN connection',
  routing_policies: 'routing policy', destination_routes: 'destination-based route', policy_routes: 'policy-based route',
  vpc_routes: 'custom VPC route', tokens: 'token',
};
const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** `plan`: member of a write's answer. */
export function Plan({ plan }) {
  const parts = PARTS.filter(([key]) => plan[key].length > 0);
  const empty = plan.resources.length === 0 && parts.length === 0;
  return html`<div class="plan">
    ${plan.warnings.map((warning) => html`<p class="notice notice-warn" key=${warning}>${warning}</p>`)}
    <${Headline} text=${empty ? 'This changes nothing.' : headline(plan, parts)} />
    ${plan.resources.map((resource) => html`<${Resource} key=${resource.kind + resource.name} resource=${resource} />`)}
    ${parts.map(([key, title]) => html`<section key=${key}>
      <h3>${title}</h3>
      <ul>${plan[key].map((effect) => html`<li>
        <strong>${words(effect.action)}</strong> ${effect.subject}${effect.count > 1 && ` (${count(effect.count)})`}${effect.detail && `: ${effect.detail}`}
      </li>`)}</ul>
    </section>`)}
  </div>`;
}

const Headline = ({ text }) => (text === null ? null : html`<p>${text}</p>`);

/** What it means for what is running; null where it means nothing to it. */
function headline(plan, parts) {
  if (plan.resources.every(({ kind }) => kind === 'tokens')) return null;
  if (parts.length === 0) return 'No tunnel, no BGP session and no route is touched.';
  const interrupted = (key) => plan[key].filter(({ action }) => action === 'reset' || action === 'remove').length;
  const [tunnels, sessions] = [interrupted('tunnels'), interrupted('sessions')];
  const routes = plan.kernel.some(({ action }) => action === 'remove') ? ' Routes are taken away: see below.' : '';
  if (tunnels + sessions === 0) return `No tunnel and no BGP session that is up is interrupted.${routes}`;
  const said = [tunnels && plural(tunnels, 'tunnel'), sessions && plural(sessions, 'BGP session')].filter(Boolean).join(' and ');
  return html`<strong>${said} ${tunnels + sessions === 1 ? 'is' : 'are'} interrupted.</strong>${routes}`;
}

function Resource({ resource: { action, kind, name, fields } }) {
  const list = html`<ul>${fields.map((field) => html`<${Change} key=${field.pointer} field=${field} />`)}</ul>`;
  return html`<section>
    <h3>${capital(action)} ${LABELS[kind] ?? words(kind)} <code>${name}</code></h3>
    ${action === 'create' && fields.length > 3
      ? html`<details><summary>${plural(leaves(fields).length, 'value')}</summary>
          <ul>${leaves(fields).map(([pointer, value]) => html`<li key=${pointer}><code>${pointer}</code>: ${shown(value)}</li>`)}</ul></details>`
      : fields.length > 0 && list}
  </section>`;
}

/** A value that was not there is only said; one that is taken away is named. */
function Change({ field: { pointer, old, new: value } }) {
  if (old === null) return html`<li><code>${pointer}</code>: <ins>${shown(value)}</ins></li>`;
  return html`<li><code>${pointer}</code>: <del>${shown(old)}</del> → ${value === null ? 'none' : html`<ins>${shown(value)}</ins>`}</li>`;
}

/** Single values of what is made, by pointer: [[pointer, value], …]. */
function leaves(fields) {
  return fields.flatMap(({ pointer, new: value }) => inside(pointer, value));
}

function inside(pointer, value) {
  if (value === null || (Array.isArray(value) && value.length === 0)) return [];
  if (typeof value !== 'object' || (Array.isArray(value) && typeof value[0] !== 'object')) return [[pointer, value]];
  return Object.entries(value).flatMap(([key, one]) => inside(`${pointer}/${key}`, one));
}

const shown = (value) => {
  if (value === null) return 'none';
  if (Array.isArray(value) && value.every((one) => typeof one !== 'object')) return value.join(', ') || 'none';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
};
