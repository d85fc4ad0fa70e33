// What happened last.
import { html } from '../core/html.js';
import { clock } from '../core/format.js';
import { Status } from '../ui/index.js';

const SEVERITIES = { warning: 'warn', error: 'bad' };

export function Latest({ live }) {
  if (!live.data || live.data.length === 0) return null;
  return html`<section class="latest" aria-labelledby="latest">
    <header><h2 id="latest">Latest events</h2><a href="#/events">All events</a></header>
    <ol>${live.data.map((event) => html`<li key=${event.id}>
      <time class="mono" datetime=${event.time} title=${event.time}>${clock(event.time, { ms: true })}</time>
      ${SEVERITIES[event.severity]
        ? html`<${Status} kind=${SEVERITIES[event.severity]}>${event.subject}<//>`
        : html`<span>${event.subject}</span>`}
      <span>${event.message}</span>
    </li>`)}</ol>
  </section>`;
}
