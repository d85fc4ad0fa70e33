// Documents as a form edits them: paths, JSON pointers, differences. Pure.
// A *draft* is a document with what people type: numbers are text, lists of plain values text with one a line.
// The service judges what becomes of it; nothing is judged here.

/** ['tunnels', 0, 'bgp'] to `/tunnels/0/bgp` (RFC 6901). */
export const pointerOf = (path) => path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** The value at a path, undefined if there is none. */
export const at = (document, path) => path.reduce((found, part) => found?.[part] ?? undefined, document);

/** A copy with another value at a path; undefined takes it away. Objects and lists on the way are made. */
export function put(document, path, value) {
  if (path.length === 0) return value;
  const [part, ...rest] = path;
  const copy = Array.isArray(document) || (document === undefined && typeof part === 'number')
    ? [...(document ?? [])] : { ...document };
  const made = put(copy[part], rest, value);
  if (made !== undefined) copy[part] = made;
  else if (Array.isArray(copy)) copy.splice(part, 1);
  else delete copy[part];
  return copy;
}

/** A copy of the list at a path with one item moved to another place. */
export function moved(document, path, from, to) {
  const list = [...at(document, path)];
  list.splice(to, 0, ...list.splice(from, 1));
  return put(document, path, list);
}

/** Text with one value a line (or separated by commas) to a list. */
export const lines = (text) => text.split(/[\n,]/).map((one) => one.trim()).filter(Boolean);

/** A document of the API as a draft of its form. `schema`: see resources_schema.js. */
export function toDraft(schema, value) {
  if (value === null || value === undefined) return undefined;
  switch (schema.type) {
    case 'section': {
      const entries = Object.entries(value).map(([key, one]) => [key, toDraft(schema.member(key), one)]);
      return Object.fromEntries(entries.filter(([, one]) => one !== undefined));
    }
    case 'sections': return value.map((one) => toDraft(schema.item, one));
    case 'tuple': return value.map(String);
    case 'list': return value.length ? value.join('\n') : undefined;
    case 'boolean': return value;
    default: return String(value);
  }
}

/** The document that a draft stands for. What is empty is left out: the service has its default for it. */
export function toDocument(schema, draft) {
  if (draft === undefined || draft === '') return undefined;
  switch (schema.type) {
    case 'section': return sectionOf(schema, draft);
    case 'sections': return draft.map((one) => toDocument(schema.item, one) ?? {});
    case 'tuple': return Array.from({ length: schema.length }, (_, i) => (draft[i] ?? '').trim());
    case 'list': return lines(draft);
    case 'boolean': return draft;
    default: return scalarOf(schema, draft);
  }
}

function sectionOf(schema, draft) {
  const entries = Object.entries(draft).map(([key, one]) => [key, toDocument(schema.member(key), one)]);
  const made = Object.fromEntries(entries.filter(([, one]) => one !== undefined));
  return schema.soft && Object.keys(made).length === 0 ? undefined : made;
}

function scalarOf(schema, draft) {
  const text = schema.secret ? draft : draft.trim();
  if (schema.number && /^-?\d{1,15}(\.\d{1,6})?$/.test(text) && (schema.fraction || !text.includes('.'))) return Number(text);
  return text === '' ? undefined : text;
}

/** An empty list says as much as none. */
const said = (value) => (Array.isArray(value) && value.length === 0 ? null : value ?? null);
const same = (one, other) => JSON.stringify(said(one)) === JSON.stringify(said(other));
const isSection = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
const areSections = (value) => Array.isArray(value) && value.every(isSection);

/**
 * [{pointer, old, new}]: what differs between two documents, value by value. A list of plain values is one; so is
 * one of sections that got longer or shorter.
 */
export function differences(before, after, pointer = '') {
  if (same(before, after)) return [];
  const lists = areSections(before) && areSections(after) && before.length === after.length;
  if (!lists && !(isSection(before) && isSection(after))) return [{ pointer, old: before ?? null, new: after ?? null }];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .flatMap((key) => differences(before[key], after[key], pointer + pointerOf([key])));
}

/** The path of a pointer. */
export const pathOf = (pointer) => pointer.split('/').slice(1).map((part) => {
  const text = part.replaceAll('~1', '/').replaceAll('~0', '~');
  return /^\d+$/.test(text) ? Number(text) : text;
});

/** `theirs` with what `mine` changed against `base`: the last word is mine where both changed a value. */
export function merged(base, mine, theirs) {
  return differences(base, mine).reduce(
    (document, { pointer, new: value }) => put(document, pathOf(pointer), value ?? undefined), theirs,
  );
}
