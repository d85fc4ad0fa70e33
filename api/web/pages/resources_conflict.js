// Somebody changed the resource while its form was open (412): what they changed, and what to do about it.
import { html } from '../core/html.js';
import { Dialog, Table } from '../ui/index.js';
import { differences } from './resources_document.js';

const shown = (value) => html`<code>${value === null ? 'nothing' : typeof value === 'string' ? value : JSON.stringify(value)}</code>`;

/** `base`: as it was when the form was opened; `theirs`: as it is now; `mine`: as the form has it. */
export function Conflict({ base, theirs, mine, onKeep, onDiscard, onClose }) {
  const changed = differences(base, theirs);
  const own = new Map(differences(base, mine).map((one) => [one.pointer, one.new]));
  const both = changed.filter(({ pointer }) => own.has(pointer));
  const columns = [
    { key: 'pointer', label: 'Field', render: ({ pointer }) => html`<code>${pointer}</code>` },
    { key: 'old', label: 'Was', render: (row) => shown(row.old) },
    { key: 'new', label: 'Is now', render: (row) => shown(row.new) },
    { key: 'mine', label: 'Yours', render: (row) => (own.has(row.pointer) ? shown(own.get(row.pointer)) : '–') },
  ];
  return html`<${Dialog} title="It was changed meanwhile" wide onClose=${onClose}>
    <p>Somebody changed this resource after you opened it. Nothing of yours is saved yet.
      ${both.length > 0 && html` <strong>${both.length === 1 ? 'One field' : `${both.length} fields`} you changed too.</strong>`}</p>
    <${Table} caption="What was changed" columns=${columns} rows=${changed} rowKey=${(row) => row.pointer} empty="Nothing that this form shows" />
    <footer class="actions">
      <button type="button" onClick=${onClose}>Back to the form</button>
      <button type="button" onClick=${onDiscard}>Take theirs, drop mine</button>
      <button type="button" class="primary" onClick=${onKeep}>Take theirs, and keep my changes</button>
    </footer>
  <//>`;
}
