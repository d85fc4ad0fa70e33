// Above and below the rows: how many match, pages, copying, files.
import { html, useState } from '../core/html.js';
import { api } from '../core/http.js';
import { count, plural } from '../core/format.js';
import { link } from '../core/router.js';
import { CopyButton, toast } from '../ui/index.js';

/** Above this many rows a file is asked for again first: the browser holds all of it. */
const LARGE = 200_000;

export function Tools({ list, page, view, gateway, trail, query, limit, below }) {
  const at = (cursor) => link('/routes', { ...query, cursor });
  const before = trail.length > 1 ? trail[trail.length - 2] : undefined;
  const paged = query.cursor || page.next_cursor;
  return html`<div class="routes-tools">
    ${!below && html`<p role="status">${found(page, query, limit)}</p>`}
    ${paged && html`<nav class="actions" aria-label=${below ? 'Pages, below' : 'Pages'}>
      ${query.cursor ? html`<a class="button small" href=${at(undefined)}>First</a>` : html`<span class="button small" aria-disabled="true">First</span>`}
      ${query.cursor && trail.length > 1 && html`<a class="button small" rel="prev" href=${at(before)}>Previous</a>`}
      ${page.next_cursor ? html`<a class="button small" rel="next" href=${at(page.next_cursor)}>Next ${count(limit)}</a>`
        : html`<span class="button small" aria-disabled="true">Last page</span>`}
    </nav>`}
    ${!below && html`<div class="actions routes-take">
      <${CopyButton} text=${page.items.map(({ prefix }) => prefix).join('\n')} label="Copy prefixes" />
      <${CopyButton} text=${location.href} label="Copy link" />
      <${Export} list=${list} page=${page} name=${view === 'table' ? `table-${gateway.vpc}` : `routes-${gateway.name}`} />
    </div>`}
  </div>`;
}

/** How many there are, as far as it is known. */
function found({ items, next_cursor: more, matching }, query, limit) {
  if (matching !== null && matching !== undefined) {
    const shown = query.cursor || more ? `, ${count(items.length)} shown` : '';
    return html`<strong>${plural(matching, 'route')}</strong>${shown}`;
  }
  return more ? html`<strong>More than ${plural(items.length, 'route')}</strong>, ${count(limit)} to a page` : html`<strong>${plural(items.length, 'route')}</strong> on this page`;
}

function Export({ list, page, name }) {
  const [busy, setBusy] = useState(null);
  const take = async (format) => {
    const large = (page.matching ?? 0) > LARGE;
    if (large && !confirm(`The file will have ${count(page.matching)} lines, and the browser holds all of it. The command line writes it as it comes: bgpsvc get routes -o csv. Go on?`)) return;
    setBusy(format);
    try {
      const stamp = new Date().toISOString().replaceAll(/[-:]|\..*(?=Z)/g, '');
      await api.download(`${list.base}/export`, { ...list.filters, format }, `${name}-${stamp}.${format}`);
    } catch (error) {
      toast('bad', `the file did not come: ${error.message}`);
    }
    setBusy(null);
  };
  const button = (format, label) => html`<button type="button" class="small" disabled=${busy !== null || page.items.length === 0}
    onClick=${() => take(format)} aria-label=${`Export all that match as ${label}`}>${busy === format ? 'Exporting…' : label}</button>`;
  return html`${button('csv', 'CSV')}${button('ndjson', 'NDJSON')}`;
}
