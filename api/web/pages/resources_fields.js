// The form itself: a layout and a schema become controls. `form` (see resources_form.js) has the draft, says what is
// wrong with it, and takes changes.
import { html, useId, useState } from '../core/html.js';
import { CheckField, Field, SelectField } from '../ui/index.js';
import { at, moved, pointerOf } from './resources_document.js';
import { CHOICES, layoutOf, NEW_ENTRIES } from './resources_layout.js';
import { Secret } from './resources_secret.js';

const split = (path) => path.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part));

/** A section's items. `path`: where the section is in the document. */
export const Section = ({ schema, path, form }) => html`<${Items} items=${layoutOf(schema)} schema=${schema} path=${path} form=${form} />`;

const Items = ({ items, schema, path, form }) => html`<div class="form-items">
  ${items.map((item) => html`<${Item} key=${item.at ?? item.section ?? item.list ?? item.more ?? item.part} item=${item}
    schema=${schema} path=${path} form=${form} />`)}
</div>`;

function Item({ item, schema, path, form }) {
  const where = item.at ?? item.section ?? item.list;
  const place = where && [...path, ...split(where)];
  if (item.when && !item.when(form.draft) && at(form.draft, place) === undefined) return null;
  if (item.more) return html`<${More} item=${item} schema=${schema} path=${path} form=${form} />`;
  if (item.part) {
    return html`<fieldset class="form-part"><legend>${item.part}</legend>
      ${item.hint && html`<p class="hint">${item.hint}</p>`}
      <${Items} items=${item.items} schema=${schema} path=${path} form=${form} /></fieldset>`;
  }
  const inner = schema.at(split(where));
  if (item.section) return html`<${Optional} item=${item} schema=${inner} path=${place} form=${form} />`;
  if (item.list) return html`<${List} item=${item} schema=${inner} path=${place} form=${form} />`;
  return html`<${Control} item=${item} schema=${inner} path=${place} form=${form} />`;
}

const placesOf = (items, path) => items.flatMap((item) => (item.items
  ? placesOf(item.items, path) : [[...path, ...split(item.at ?? item.section ?? item.list)]]));

/** What is rarely needed; open where something of it is set or wrong. */
function More({ item, schema, path, form }) {
  const places = placesOf(item.items, path);
  const set = places.filter((place) => !form.isDefault(place)).length;
  const wrong = places.some((place) => form.hasError(place));
  const [opened, setOpened] = useState(null);
  return html`<details class="form-more" open=${wrong || (opened ?? false)} onToggle=${(event) => setOpened(event.target.open)}>
    <summary>${item.more}${set > 0 && html` <span class="form-set">${set} set</span>`}</summary>
    <${Items} items=${item.items} schema=${schema} path=${path} form=${form} />
  </details>`;
}

/** A section that is there or not. */
function Optional({ item, schema, path, form }) {
  const there = at(form.draft, path) !== undefined;
  const pointer = pointerOf(path);
  return html`<fieldset class=${`form-section ${there ? 'form-section-on' : ''}`} data-pointer=${pointer}>
    <legend class="visually-hidden">${item.label}</legend>
    <${CheckField} label=${item.label} name=${pointer} hint=${item.hint} error=${form.errorAt(path)} checked=${there}
      onInput=${(event) => form.set(path, event.target.checked ? form.initialAt(path) ?? {} : undefined)} />
    ${there && html`<${Section} schema=${schema} path=${path} form=${form} />`}
  </fieldset>`;
}

function List({ item, schema, path, form }) {
  const entries = at(form.draft, path) ?? [];
  const add = () => form.set([...path, entries.length], NEW_ENTRIES[schema.item.name] ?? {});
  const error = form.errorAt(path);
  return html`<div class="form-list" data-pointer=${pointerOf(path)}>
    <p class="form-list-head"><strong>${item.label}</strong>${item.hint && html` <span class="hint">${item.hint}</span>`}</p>
    ${error && html`<p class="error">${error}</p>`}
    <div class=${item.names ? 'form-pair' : 'form-entries'}>
      ${entries.map((_, i) => html`<${Entry} key=${i} item=${item} schema=${schema} path=${path} i=${i} count=${entries.length} form=${form} />`)}
    </div>
    ${entries.length < schema.most && html`<button type="button" class="small" disabled=${form.disabled} onClick=${add}>Add ${(
      item.names?.[entries.length] ?? item.one).toLowerCase()}</button>`}
  </div>`;
}

function Entry({ item, schema, path, i, count, form }) {
  const title = item.names?.[i] ?? `${item.one} ${i + 1}`;
  const place = [...path, i];
  const move = (to) => form.replace(moved(form.draft, path, i, to));
  // The first tunnel is the active one for ever: only the last of named entries can go.
  const removable = count > schema.least && (!item.names || i === count - 1);
  return html`<fieldset class="form-entry" data-pointer=${pointerOf(place)}>
    <legend>${title}</legend>
    ${form.errorAt(place) && html`<p class="error">${form.errorAt(place)}</p>`}
    <${Section} schema=${schema.item} path=${place} form=${form} />
    <p class="actions">
      ${item.ordered && i > 0 && html`<button type="button" class="small" onClick=${() => move(i - 1)} aria-label=${`Move ${title} up`}>↑ Up</button>`}
      ${item.ordered && i < count - 1 && html`<button type="button" class="small" onClick=${() => move(i + 1)} aria-label=${`Move ${title} down`}>↓ Down</button>`}
      ${removable && html`<button type="button" class="small" onClick=${() => form.set(place, undefined)} aria-label=${`Remove ${title}`}>Remove</button>`}
    </p>
  </fieldset>`;
}

/** One value: the control that fits its type. */
function Control({ item, schema, path, form }) {
  const value = at(form.draft, path);
  const set = (given) => form.set(path, given === '' && schema.type !== 'tuple' ? undefined : given);
  const label = item.unit ? `${item.label} (${item.unit})` : item.label;
  const common = {
    label, name: pointerOf(path), error: form.errorAt(path), hint: hintOf(item, schema), required: schema.required,
  };
  const fixed = item.fixed && form.exists;
  if (schema.secret) return html`<${Secret} common=${common} schema=${schema} path=${path} value=${value} set=${set} form=${form} />`;
  if (item.ref) return html`<${Reference} common=${common} item=${item} schema=${schema} value=${value} set=${set} form=${form} fixed=${fixed} />`;
  if (schema.type === 'choice') return html`<${SelectField} ...${common} options=${choices(schema)}
    value=${value === schema.default ? '' : value} onInput=${(e) => set(e.target.value)} />`;
  if (schema.type === 'boolean') return html`<${YesNo} common=${common} schema=${schema} value=${value} set=${set} />`;
  if (schema.type === 'list') return html`<${Field} ...${common}>
    <textarea rows=${Math.min(8, 1 + (value ?? '').split('\n').length)} value=${value ?? ''} placeholder=${item.placeholder}
      spellcheck="false" onInput=${(e) => set(e.target.value)} /><//>`;
  return html`<${Text} common=${common} item=${item} schema=${schema} path=${path} value=${value} set=${set} form=${form} />`;
}

function hintOf(item, schema) {
  const fallback = schema.number && schema.default !== undefined && schema.default !== null ? `Default ${schema.default}.` : null;
  const standard = item.hint && fallback && schema.default !== undefined ? `${item.hint} ${fallback}` : item.hint ?? fallback;
  return standard ?? (schema.type === 'text' && !item.ref && schema.allowed ? `${schema.allowed[0].toUpperCase()}${schema.allowed.slice(1)}.` : undefined);
}

function choices(schema) {
  const options = schema.options.map((one) => [one, CHOICES[one] ?? one.replaceAll('_', ' ')]);
  const standard = schema.default ?? null;
  if (standard === null) return schema.nullable || !schema.required ? [['', '–'], ...options] : options;
  return [['', `${CHOICES[standard] ?? standard} (default)`], ...options.filter(([one]) => one !== standard)];
}

/** A box to tick; where nothing is said means something else than no, a choice of three. */
function YesNo({ common, schema, value, set }) {
  if (schema.nullable) {
    const options = [['', 'default'], ['true', 'yes'], ['false', 'no']];
    return html`<${SelectField} ...${common} options=${options} value=${value === undefined ? '' : String(value)}
      onInput=${(e) => set(e.target.value === '' ? undefined : e.target.value === 'true')} />`;
  }
  return html`<${CheckField} ...${common} checked=${value ?? schema.default ?? false} onInput=${(e) => set(e.target.checked)} />`;
}

function Reference({ common, item, schema, value, set, form, fixed }) {
  const names = form.references[item.ref] ?? [];
  const known = value === undefined || names.includes(value) ? names : [...names, value];
  const first = schema.required ? 'Choose…' : 'none';
  const kind = item.ref;
  const hint = names.length === 0 && schema.required
    ? html`There is none yet: <a href=${`#/resources/${kind}/new`}>make one first</a>.` : common.hint;
  return html`<${Field} ...${common} hint=${fixed ? 'It cannot be changed.' : hint}>
    <select value=${value ?? ''} disabled=${fixed} onInput=${(e) => set(e.target.value)}>
      <option value="">${first}</option>
      ${known.map((one) => html`<option key=${one} value=${one} selected=${one === value}>${one}</option>`)}
    </select>
  <//>`;
}

function Text({ common, item, schema, path, value, set, form }) {
  const list = useId();
  const offers = typeof item.suggest === 'function' ? item.suggest(form.draft, path) : [];
  const standard = schema.default ?? null;
  return html`<div class=${item.short ? 'form-short' : 'form-text'}>
    <${Field} ...${common}>
      <${Input} type="text" value=${value ?? ''} autocomplete="off" spellcheck="false" autocapitalize="off"
        inputmode=${schema.number && !schema.fraction && item.at !== 'local_asn' ? 'numeric' : undefined} list=${offers.length ? list : undefined}
        placeholder=${item.placeholder ?? (standard === null ? undefined : String(standard))}
        readonly=${item.at === 'name' && form.exists} onInput=${(e) => set(e.target.value)} />
    <//>
    ${offers.length > 0 && html`<datalist id=${list}>${offers.map((one) => html`<option key=${one} value=${one} />`)}</datalist>`}
  </div>`;
}

const Input = (props) => html`<input ...${props} />`;

