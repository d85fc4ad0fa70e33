// Who announces a prefix: what was received, what import said of it, and how it ended.
import { html } from '../core/html.js';
import { words } from '../core/format.js';
import { link } from '../core/router.js';
import { Facts, Role, Status } from '../ui/index.js';

const STAGES = { built_in: 'Built-in checks', import_policy: 'Import policy', maximum_prefixes: 'Maximum of prefixes' };

/** `paths`: of an explanation, the best first. */
export function Paths({ paths }) {
  if (paths.length === 0) return html`<p class="muted">Nobody.</p>`;
  return html`<div class="route-paths">${paths.map((path) => html`<${Path} key=${path.session} path=${path} />`)}</div>`;
}

function Path({ path: { session, role, received, verdicts, candidate } }) {
  const used = candidate?.in_use;
  return html`<article class=${`route-path ${used ? 'route-used' : ''}`}>
    <header>
      <h3><a href=${link('/tunnels/:id', {}, { id: session })}>${session}</a></h3><${Role} role=${role} />
      <${Ending} candidate=${candidate} />
    </header>
    ${candidate && !used && candidate.reason_text && html`<p>Not in use: ${candidate.reason_text}.</p>`}
    <h4>Received</h4>
    <${Facts} facts=${attributes(received)} />
    <h4>Import</h4>
    ${verdicts.length === 0 ? html`<p class="muted">Nothing was said of it.</p>`
      : html`<ul class="route-verdicts">${verdicts.map((verdict) => html`<${Verdict} verdict=${verdict} />`)}</ul>`}
    ${candidate && html`<h4>As a candidate</h4><${Facts} facts=${[
      ['Rank', candidate.rank], ['Local preference', candidate.local_pref], ['MED', candidate.med ?? 'none'],
      ['Stale', candidate.stale ? 'yes: not announced again yet since the session restarted' : null],
    ]} />`}
  </article>`;
}

function Ending({ candidate }) {
  if (!candidate) return html`<${Status} kind="bad">refused<//>`;
  if (candidate.in_use) return html`<${Status} kind="good">in use<//>`;
  return html`<${Status} kind="off" title=${candidate.reason_text}>${words(candidate.reason)}<//>`;
}

const NAMES = { as_path: 'AS path', med: 'MED', local_pref: 'Local preference' };
const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** Attributes that came along; what did not is left out. */
const attributes = (received) => Object.entries(received)
  .filter(([, value]) => value !== null && value !== '' && !(Array.isArray(value) && value.length === 0))
  .map(([name, value]) => [NAMES[name] ?? capital(words(name)), html`<span class="mono">${Array.isArray(value) ? value.join(' ') : String(value)}</span>`]);

const Verdict = ({ verdict: { stage, policy, rule, accepted, changes, text } }) => html`<li>
  <${Status} kind=${accepted ? 'good' : 'bad'}>${accepted ? 'passed' : 'refused'}<//>
  <div><strong>${STAGES[stage] ?? words(stage)}</strong>${policy && html`${' '}<a href=${link('/resources/:kind/:name', {}, { kind: 'routing-policies', name: policy })}>${policy}</a>`}${rule && `, rule ${rule}`}:${' '}${text}
  ${changes.length > 0 && html`<span class="muted">${' '}(${changes.join(', ')})</span>`}</div>
</li>`;
