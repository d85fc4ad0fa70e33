// The figures of the charts as a table, and as a file.
import { html, useState } from '../core/html.js';
import { save } from '../core/file.js';
import { clock, count } from '../core/format.js';
import { Table } from '../ui/index.js';
import { csv, rows, share, short } from './traffic-data.js';

export function Figures({ connection, histories, unit }) {
  const [open, setOpen] = useState(false);
  return html`<details class="figures" onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary>All figures as a table</summary>
    ${open && html`<p class="actions"><button type="button" class="small" onClick=${() => saveAll(connection, histories)}>Download CSV</button></p>
      <${Table} caption=${`${connection.name}: averages over ${histories[0].interval} s in ${unit.unit}, newest first`}
        columns=${columns(histories)} rows=${rows(histories, unit)} rowKey=${(row) => row.at} />`}
  </details>`;
}

function columns(histories) {
  const of = (i, key, label, render, narrow) => ({
    key: `${i}${key}`, label: `${histories.length > 1 ? `Tunnel ${i + 1} ` : ''}${label}`, align: 'end', narrow, render: (row) => render(row.tunnels[i][key]),
  });
  const number = (value) => (value === null ? '–' : count(value));
  return [
    { key: 'at', label: 'From', render: (row) => clock(new Date(row.at * 1000).toISOString()) },
    ...histories.flatMap((_, i) => [
      of(i, 'in', 'received', short), of(i, 'out', 'sent', short), of(i, 'carrying', 'carried traffic', share),
      of(i, 'up', 'session up', share, 'hide'), of(i, 'received', 'prefixes received', number, 'hide'),
      of(i, 'accepted', 'prefixes accepted', number, 'hide'), of(i, 'advertised', 'prefixes advertised', number, 'hide'),
    ]),
  ];
}

const saveAll = (connection, histories) =>
  save(new Blob([csv(histories)], { type: 'text/csv' }), `${connection.name}-${histories[0].window}.csv`);
