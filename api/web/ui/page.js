// A page's frame, and what stands in it while there is nothing to show.
import { html, useEffect, useRef } from '../core/html.js';
import { duration } from '../core/format.js';
import { SLOW } from '../core/job.js';

/** `title` is also the document's; `actions`: buttons and links beside it; `parent`: {href, label} above it. */
export function Page({ title, actions, parent, lead, children }) {
  const heading = useRef();
  useEffect(() => { document.title = `${title} · bgpsvc`; }, [title]);
  // After a navigation the focus is on the new page's heading, as after loading a document.
  useEffect(() => { if (!focusIsUseful()) heading.current?.focus({ preventScroll: true }); }, []);
  return html`<article class="page">
    <header class="page-head">
      <div>
        ${parent && html`<p class="page-parent"><a href=${parent.href}>${parent.label}</a></p>`}
        <h1 tabindex="-1" ref=${heading}>${title}</h1>
        ${lead && html`<p class="page-lead">${lead}</p>`}
      </div>
      ${actions && html`<div class="actions">${actions}</div>`}
    </header>
    ${children}
  </article>`;
}

const focusIsUseful = () => document.activeElement?.matches('input, select, textarea, dialog *');

/** An error of the API in words, with what to do about it. */
export function ProblemNotice({ problem, onRetry }) {
  if (!problem) return null;
  return html`<div class="notice notice-bad" role="alert">
    <strong>${problem.title ?? 'This page has a fault'}</strong>
    <p>${problem.detail ?? problem.message}${problem.retryAfter ? ` (again in ${duration(problem.retryAfter * 1000)})` : ''}</p>
    ${problem.errors?.length > 0 && html`<ul>
      ${problem.errors.map(({ pointer, detail }) => html`<li><code>${pointer}</code> ${detail}</li>`)}
    </ul>`}
    ${onRetry && html`<button type="button" onClick=${onRetry}>Try again</button>`}
  </div>`;
}

/** A remark. kind: info, warn, bad, good. */
export const Notice = ({ kind = 'info', title, children }) => html`<div class=${`notice notice-${kind}`}>
  ${title && html`<strong>${title}</strong>`}${children}
</div>`;

/** What to do where there is nothing yet. */
export const Empty = ({ title, action, children }) => html`<div class="empty">
  <h2>${title}</h2>${children}${action && html`<p class="actions">${action}</p>`}
</div>`;

export const Spinner = ({ label = 'Loading' }) => html`<div aria-busy="true"><p class="spinner" role="status">
  <span class="spinner-mark" aria-hidden="true"></span>${label}…
</p></div>`;

/** What useLive() gave: its error, a spinner, or `children(data)`. An error beside old data stands above it. */
export function Loaded({ live, children }) {
  const { data, error, reload } = live;
  // A daemon that is away is said once, in the header; one that is slow still sends its events.
  const away = error?.status === 0 && error.type !== SLOW;
  const waits = data === null && (away || !error);
  return html`
    ${error && !away && html`<${ProblemNotice} problem=${error} onRetry=${reload} />`}
    ${waits && html`<${Spinner} label=${away ? 'Waiting for the daemon' : 'Loading'} />`}
    ${data !== null && children(data)}`;
}
