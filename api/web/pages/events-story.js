// One story, with the events that it is made of.
import { html } from '../core/html.js';
import { clock, duration, plural, time } from '../core/format.js';
import { link } from '../core/router.js';
import { Status } from '../ui/index.js';
import { about, tell } from './events-stories.js';

const KINDS = { info: 'off', warning: 'warn', error: 'bad' };

export function Story({ story, complete }) {
  const { kind, title, why, gap, tunnel, operator } = tell(story, complete);
  const { events, begin, end, connection } = story;
  const at = new Date(begin).toISOString();
  const whole = `${plural(events.length, 'event')}${end > begin ? ` within ${duration(end - begin)}` : ''}`;
  return html`<li class=${`story story-${kind}`}>
    <a class="story-time" href=${moment(story)} title="Link to this moment"><time datetime=${at} title=${time(at, { ms: true })}>${clock(at)}</time></a>
    <article class="story-body" aria-label=${title}>
      <h3><${Status} kind=${kind}>${title}<//></h3>
      ${(why || gap || operator) && html`<dl class="story-facts">
        ${operator && html`<div><dt>By</dt><dd>${operator}</dd></div>`}
        ${why && html`<div><dt>Why</dt><dd>${tunnel ? html`<${Subject} name=${tunnel} />: ` : ''}${why}</dd></div>`}
        ${gap && html`<div><dt>Traffic stood still</dt><dd>${gap}</dd></div>`}
      </dl>`}
      ${events.length === 1 && !why && !operator
        ? html`<p class="story-single muted"><${What} event=${events[0]} /></p>`
        : html`<details><summary>${whole}</summary><${Parts} events=${events} begin=${begin} /></details>`}
      ${kind === 'bad' && connection && html`<p><a href=${link('/connections/:name/diagnosis', {}, { name: connection })}>Find out why</a></p>`}
    </article>
  </li>`;
}

/** The address of a moment: what happened to the same connection then. */
const moment = ({ connection, begin, end }) => link('/events', {
  subject: connection, since: new Date(begin).toISOString(), until: new Date(end + 1).toISOString(),
});

const Subject = ({ name }) => {
  const { connection, tunnel } = about({ subject: name, kind: '' });
  return connection ? html`<a href=${link('/tunnels/:id', {}, { id: tunnel })}>${name}</a>` : html`<span>${name}</span>`;
};

const What = ({ event }) => html`<code>${event.kind}</code>${data(event) && html` <span class="story-data">${data(event)}</span>`}`;

const Parts = ({ events, begin }) => html`<ol class="parts">${events.map((event) => html`<li key=${event.id}>
  <time class="part-time" datetime=${event.time} title=${event.time}>+${((Date.parse(event.time) - begin) / 1000).toFixed(3)} s</time>
  <${Status} kind=${KINDS[event.severity]}>${event.severity}<//>
  <code class="part-kind">${event.kind}</code>
  <span class="part-text"><${Subject} name=${event.subject} />: ${event.message}
    ${data(event) && html`<span class="story-data muted">${data(event)}</span>`}</span>
</li>`)}</ol>`;

/** Details that the message does not say already. */
const data = (event) => Object.entries(event.data)
  .filter(([, value]) => value !== null && typeof value !== 'object' && !event.message.includes(String(value)))
  .map(([name, value]) => `${name.replaceAll('_', ' ')}: ${value}`).join(', ');
