// How long ago something was.
import { html } from '../core/html.js';
import { since, time } from '../core/format.js';
import { useNow } from '../core/live.js';

/** `3 min 4 s ago`, `just now`; counts on by itself. */
export function Past({ at }) {
  const text = since(at, useNow());
  return html`<time datetime=${at} title=${time(at, { ms: true })}>${text === 'now' ? 'just now' : `${text} ago`}</time>`;
}
