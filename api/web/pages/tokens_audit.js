// The audit log: who changed what, newest first.
import { html, useState } from '../core/html.js';
import { api } from '../core/http.js';
import { words } from '../core/format.js';
import { useLive } from '../core/live.js';
import { Loaded, Table, Time } from '../ui/index.js';

const STEP = 20;

export function Audit() {
  const [limit, setLimit] = useState(STEP);
  const live = useLive((signal) => api.get('/v1/audit', { limit }, { signal }).then(({ data }) => data), { every: 10_000, key: limit });
  return html`<section class="audit" aria-labelledby="audit-title"><h2 id="audit-title">Audit log</h2>
    <${Loaded} live=${live}>${({ items, next_cursor: more }) => html`
      <${Table} caption="Who changed what, newest first" columns=${COLUMNS} rows=${items} rowKey=${({ id }) => id} empty="Nothing was changed yet" />
      ${more && limit < 1000 && html`<p><button type="button" onClick=${() => setLimit(Math.min(1000, limit * 2))}>Show more</button></p>`}`}<//>
  </section>`;
}

const COLUMNS = [
  { key: 'time', label: 'Time', render: ({ time }) => html`<${Time} at=${time} />` },
  { key: 'actor', label: 'Who', narrow: 'hide' },
  {
    key: 'action', label: 'What',
    render: ({ action, kind, name, actor }) => html`${words(action)}${kind && html` ${words(kind)} <code>${name}</code>`}
      <span class="narrow-only muted"> by ${actor}</span>`,
  },
  { key: 'new', label: 'Details', render: (entry) => html`<${Details} entry=${entry} />`, narrow: 'hide' },
  { key: 'source', label: 'From', narrow: 'hide' },
];

const Details = ({ entry }) => (entry.old || entry.new ? html`<details><summary>${summary(entry)}</summary>
  <pre>${JSON.stringify({ old: entry.old, new: entry.new }, null, 2)}</pre></details>` : '–');

function summary({ action, old, new: now }) {
  if (action === 'switch') return `${old?.mode} → ${now?.mode}${now?.reason ? `: ${now.reason}` : ''}`;
  if (action === 'propagate') return now?.auto_propagate ? 'on' : 'off';
  return 'show';
}
