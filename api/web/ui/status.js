// States by shape, word and colour: none of them carries the meaning alone.
import { html } from '../core/html.js';

const MARKS = {
  good: html`<path d="M2.5 6.5l2.5 2.5 4.5-5.5" />`,
  warn: html`<path d="M6 2.2v4.6M6 9.4v.2" />`,
  bad: html`<path d="M3 3l6 6M9 3l-6 6" />`,
  off: html`<path d="M3 6h6" />`,
};

/** kind: good, warn, bad, off. `title`: the reason, for who asks. */
export const Status = ({ kind, title, children }) => html`<span class=${`status status-${kind}`} title=${title}>
  <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">${MARKS[kind]}</svg><span>${children}</span>
</span>`;

/** active or standby: tunnel 1 or 2, for ever. */
export const Role = ({ role }) => html`<span class=${`role role-${role}`}>${role}</span>`;
