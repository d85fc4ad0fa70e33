// What happened, newest first, as stories: a failover is one of them.
import { html, useEffect, useState } from '../core/html.js';
import { all } from '../core/http.js';
import { plural } from '../core/format.js';
import { navigate } from '../core/router.js';
import { useLive } from '../core/live.js';
import { Empty, Loaded, Page, toast } from '../ui/index.js';
import { GROUPS, PERIODS, SEVERITIES } from './events-kinds.js';
import { useEvents } from './events-log.js';
import { stories } from './events-stories.js';
import { Story } from './events-story.js';

const FILTERS = ['subject', 'group', 'severity', 'period', 'since', 'until'];

const filterOf = (query) => Object.fromEntries(FILTERS.map((name) => [name, [query[name]].flat()[0] ?? '']));

export default function Events({ query }) {
  const filter = filterOf(query);
  const log = useEvents(filter);
  const told = stories(log.events);
  const filtered = FILTERS.some((name) => filter[name]);
  return html`<${Page} title="Events" lead="What happened, newest first. Events of one moment and connection are told together.">
    <${Filters} filter=${filter} filtered=${filtered} />
    <${Loaded} live=${log.live}>${() => (told.length === 0
      ? html`<${Nothing} filtered=${filtered} />`
      : html`<p class="muted events-count" role="status">${plural(told.length, 'story', 'stories')} of ${plural(log.events.length, 'event')}</p>
          <ol class="stories">${days(told).map(({ day, of }) => html`<${Day} key=${day} day=${day} of=${of} complete=${!filter.group && !filter.severity} />`)}</ol>
          <${More} log=${log} />`)}<//>
  <//>`;
}

/** Stories by the day (of the browser's zone) on which they ended. */
function days(told) {
  const found = [];
  for (const story of told) {
    const day = new Date(story.begin).toLocaleDateString('en-CA');
    if (found.at(-1)?.day !== day) found.push({ day, of: [] });
    found.at(-1).of.push(story);
  }
  return found;
}

const Day = ({ day, of, complete }) => html`<li class="day"><h2>${day}</h2>
  <ol class="stories">${of.map((story) => html`<${Story} key=${story.id} story=${story} complete=${complete} />`)}</ol>
</li>`;

const Nothing = ({ filtered }) => html`<${Empty} title=${filtered ? 'Nothing fits the filter' : 'Nothing has happened yet'}>
  ${filtered && html`<p><a href="#/events">Show all events</a></p>`}
<//>`;

function More({ log: { more, loadMore, busy } }) {
  if (!more) return html`<p class="muted">There are no older ones.</p>`;
  const load = () => loadMore().catch((problem) => toast('bad', `older events: ${problem.message}`));
  return html`<p><button type="button" disabled=${busy} onClick=${load}>${busy ? 'Loading…' : 'Older events'}</button></p>`;
}

const choose = (filter, change) => navigate('/events', { ...filter, ...change }, { replace: true });

function Filters({ filter, filtered }) {
  const names = useLive(subjects, { kinds: ['config.'], key: 'subjects' }).data ?? [];
  const select = (name, options, any) => html`<select value=${filter[name]} onInput=${(event) => choose(filter, { [name]: event.target.value })}>
    <option value="" selected=${!filter[name]}>${any}</option>
    ${Object.entries(options).map(([value, [label]]) => html`<option key=${value} value=${value} selected=${value === filter[name]}>${label}</option>`)}
  </select>`;
  const custom = filter.since || filter.until;
  const period = (event) => choose(filter, event.target.value === 'custom'
    ? { period: '', since: new Date(Date.now() - 3_600_000).toISOString() }
    : { period: event.target.value, since: '', until: '' });
  return html`<form class="events-filter" role="search" onSubmit=${(event) => event.preventDefault()}>
    <${Subject} value=${filter.subject} names=${names} onChange=${(subject) => choose(filter, { subject })} />
    <label>About ${select('group', GROUPS, 'Everything')}</label>
    <label>Severity ${select('severity', SEVERITIES, 'All')}</label>
    <label>Time <select value=${custom ? 'custom' : filter.period} onInput=${period}>
      <option value="" selected=${!custom && !filter.period}>All that is kept</option>
      ${Object.entries(PERIODS).map(([value, [label]]) => html`<option key=${value} value=${value} selected=${!custom && value === filter.period}>${label}</option>`)}
      <option value="custom" selected=${Boolean(custom)}>From … to …</option>
    </select></label>
    ${custom && html`<${Moment} label="From" value=${filter.since} onChange=${(since) => choose(filter, { since })} />
      <${Moment} label="To" value=${filter.until} onChange=${(until) => choose(filter, { until })} />`}
    ${filtered && html`<a class="button" href="#/events">Clear</a>`}
  </form>`;
}

async function subjects(signal) {
  const connections = await all('/v1/vpn-connections', {}, { signal });
  return connections.flatMap((one) => [one.name, ...one.tunnels.map((tunnel) => tunnel.id)]);
}

/** Followed when the typing ends (change), so that half a name filters nothing. */
function Subject({ value, names, onChange }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  return html`<label>Connection or tunnel <input type="search" list="event-subjects" value=${text} placeholder="any" autocomplete="off" spellcheck="false"
      onInput=${(event) => { setText(event.target.value); if (event.target.value === '' || names.includes(event.target.value)) onChange(event.target.value); }}
      onChange=${(event) => onChange(event.target.value.trim())} />
    <datalist id="event-subjects">${names.map((name) => html`<option key=${name} value=${name} />`)}</datalist></label>`;
}

/** A time of the browser's zone; in the address as RFC 3339. */
const Moment = ({ label, value, onChange }) => html`<label>${label} <input type="datetime-local" step="1" value=${local(value)}
  onChange=${(event) => onChange(event.target.value ? new Date(event.target.value).toISOString() : '')} /></label>`;

function local(value) {
  const at = new Date(value);
  if (!value || Number.isNaN(at.getTime())) return '';
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
