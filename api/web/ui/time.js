// Times: the exact one for machines and in the title, the one people want as text.
import { html } from '../core/html.js';
import { since, time } from '../core/format.js';
import { useNow } from '../core/live.js';

/** `2025-10-09 10:41:07`. */
export const Time = ({ at, ms }) => (at ? html`<time datetime=${at} title=${at}>${time(at, { ms })}</time>` : html`<span>–</span>`);

/** How long it has been so: `3 min 4 s`; counts on by itself. */
export function Ago({ at }) {
  const now = useNow();
  return at ? html`<time datetime=${at} title=${time(at, { ms: true })}>${since(at, now)}</time>` : html`<span>–</span>`;
}

/** How long ago something was: `3 min 4 s ago`, `just now`. */
export function Past({ at }) {
  const text = since(at, useNow());
  return html`<time datetime=${at} title=${time(at, { ms: true })}>${text === 'now' ? 'just now' : `${text} ago`}</time>`;
}
