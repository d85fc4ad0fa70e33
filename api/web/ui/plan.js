// What a write would do, as its dry run told.
import { html } from '../core/html.js';
import { count, words } from '../core/format.js';

const PARTS = [['tunnels', 'Tunnels'], ['sessions', 'BGP sessions'], ['kernel', 'Kernel'], ['peers', 'Peers hear']];

/** `plan`: member of a write's answer. */
export function Plan({ plan }) {
  const parts = PARTS.filter(([key]) => plan[key].length > 0);
  if (plan.resources.length === 0 && parts.length === 0) return html`<p>This changes nothing.</p>`;
  return html`<div class="plan">
    ${plan.warnings.map((warning) => html`<p class="notice notice-warn">${warning}</p>`)}
    ${plan.resources.map((resource) => html`<section key=${resource.kind + resource.name}>
      <h3>${words(resource.action)} ${words(resource.kind)} <code>${resource.name}</code></h3>
      ${resource.fields.length > 0 && html`<ul>${resource.fields.map((field) => html`<li key=${field.pointer}>
        <code>${field.pointer}</code>: <del>${shown(field.old)}</del> → <ins>${shown(field.new)}</ins></li>`)}</ul>`}
    </section>`)}
    ${parts.map(([key, title]) => html`<section key=${key}>
      <h3>${title}</h3>
      <ul>${plan[key].map((effect) => html`<li>
        ${words(effect.action)} <code>${effect.subject}</code>: ${effect.detail}${effect.count > 1 ? ` (${count(effect.count)})` : ''}
      </li>`)}</ul>
    </section>`)}
  </div>`;
}

const shown = (value) => (value === null ? 'nothing' : typeof value === 'string' ? value : JSON.stringify(value));
