// The decision process as a table: a row for each step, a column for each session that had a candidate.
import { html } from '../core/html.js';
import { Status } from '../ui/index.js';

/** `steps`: of an explanation, as far as the decision went. */
export function Decision({ steps, paths }) {
  const candidates = paths.filter(({ candidate }) => candidate?.rank);
  if (candidates.length === 0) return html`<p class="muted">There was none: no path may be used.</p>`;
  if (candidates.length === 1) return html`<p>There is one candidate, ${candidates[0].session}: nothing to decide.</p>`;
  const sessions = candidates.map(({ session }) => session);
  return html`<div class="table-box" tabindex="0" role="region" aria-label="The decision process">
    <table class="route-decision">
      <caption>Each step keeps the candidates with the best value; the first that leaves one ends the decision</caption>
      <thead><tr><th scope="col">Step</th>${sessions.map((session) => html`<th scope="col" key=${session}>${session}</th>`)}</tr></thead>
      <tbody>${steps.map((step) => html`<tr key=${step.number}>
        <th scope="row">${step.number}. ${step.name}</th>
        ${sessions.map((session) => html`<td key=${session}><${Cell} step=${step} session=${session} /></td>`)}
      </tr>`)}</tbody>
    </table>
  </div>`;
}

function Cell({ step: { compared, eliminated, remaining }, session }) {
  const value = compared[session];
  if (eliminated.includes(session)) return html`<${Status} kind="bad">${value ?? '–'}, out<//>`;
  if (!remaining.includes(session)) return html`<span class="muted">–</span>`;
  if (remaining.length === 1) return html`<${Status} kind="good">${value ?? '–'}, wins<//>`;
  return value ?? '–';
}
