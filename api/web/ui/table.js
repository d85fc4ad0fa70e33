// Tables and lists of facts.
import { html } from '../core/html.js';

/**
 * `columns`: [{key, label, render?(row), align?: 'end', narrow?: 'hide', text?: true}]; `narrow` hides a column on a phone;
 * `text`: sentences, which need room.
 * `rowKey(row)`; `empty`: what stands there without rows; `onRow(row)`: props of its <tr>.
 */
export function Table({ caption, columns, rows, rowKey, empty, rowProps }) {
  const classes = ({ align, narrow, text }) => [align === 'end' && 'end', narrow === 'hide' && 'wide-only', text && 'text'].filter(Boolean).join(' ');
  return html`<div class="table-box" tabindex="0" role="region" aria-label=${caption}>
    <table>
      <caption>${caption}</caption>
      <thead><tr>${columns.map((column) => html`<th scope="col" class=${classes(column)}>${column.label}</th>`)}</tr></thead>
      <tbody>
        ${rows.length === 0 && html`<tr><td class="table-empty" colspan=${columns.length}>${empty ?? 'Nothing here'}</td></tr>`}
        ${rows.map((row) => html`<tr key=${rowKey(row)} ...${rowProps?.(row) ?? {}}>
          ${columns.map((column, i) => {
            const cell = column.render ? column.render(row) : row[column.key] ?? '–';
            return i === 0
              ? html`<th scope="row" class=${classes(column)}>${cell}</th>`
              : html`<td class=${classes(column)}>${cell}</td>`;
          })}
        </tr>`)}
      </tbody>
    </table>
  </div>`;
}

/** [[term, value], …] as a list of descriptions; values null or undefined are left out. */
export const Facts = ({ facts }) => html`<dl class="facts">
  ${facts.filter(([, value]) => value !== null && value !== undefined).map(([term, value]) => html`<div key=${term}>
    <dt>${term}</dt><dd>${value}</dd>
  </div>`)}
</dl>`;
