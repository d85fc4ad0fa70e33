// What the service finds wrong with a document: at the fields, and above them with links to them.
import { html, useEffect, useRef } from '../core/html.js';

const bare = (pointer) => pointer.replace(/^#/, '');

/** Errors by the pointer of their field. `isList(pointer)`: a list of plain values stands there, which is one field. */
export function byPointer(errors, isList) {
  const found = new Map();
  for (const { pointer, detail, value, allowed } of errors) {
    const inside = /^(.*)\/\d+$/.exec(bare(pointer));
    const place = inside && isList(inside[1]) ? inside[1] : bare(pointer);
    const text = sentence(detail, value, allowed);
    found.set(place, found.has(place) ? `${found.get(place)}; ${text}` : text);
  }
  return found;
}

function sentence(detail, value, allowed) {
  const what = value ? `‘${value}’ ${detail}` : `${detail[0].toUpperCase()}${detail.slice(1)}`;
  // That a list or a section is wanted shows in the form.
  return allowed && !/^(a list|a mapping)/.test(allowed) ? `${what}. Allowed: ${allowed}` : what;
}

const named = (place) => document.querySelector(`[name="${CSS.escape(place)}"]`);

/** The control at a pointer, or the nearest one above it. */
function controlAt(pointer) {
  for (let place = bare(pointer); place !== ''; place = place.slice(0, place.lastIndexOf('/'))) {
    const name = CSS.escape(place);
    const found = named(place) ?? document.querySelector(`[data-pointer="${name}"] :is(input, select, textarea, button)`)
      ?? document.querySelector(`[name^="${name}/"]`);
    if (found) return found;
  }
  return document.querySelector('.resource-form input');
}

/** Moves the focus to the field of an error, and opens what hides it. */
function focusOn(pointer) {
  const control = controlAt(pointer);
  for (let holder = control?.closest('details'); holder; holder = holder.parentElement.closest('details')) holder.open = true;
  control?.focus();
  control?.scrollIntoView({ block: 'center' });
}

/** Above the form; gets the focus when it appears. */
export function Summary({ errors }) {
  const box = useRef();
  useEffect(() => { if (errors.length) box.current.focus(); }, [errors]);
  if (errors.length === 0) return null;
  return html`<div class="notice notice-bad" role="alert" tabindex="-1" ref=${box}>
    <strong>${errors.length === 1 ? 'One thing is wrong' : `${errors.length} things are wrong`}; nothing was saved</strong>
    <ul>${errors.map((error) => html`<li key=${error.pointer + error.detail}>
      <a href=${location.hash} onClick=${(event) => { event.preventDefault(); focusOn(error.pointer); }}>${nameOf(error.pointer)}</a>:
      ${' '}${sentence(error.detail, error.value, error.allowed)}</li>`)}</ul>
  </div>`;
}

/** A field as the form calls it, `Tunnel 2 (standby), Address of this side`; what has no field by its place. */
function nameOf(pointer) {
  const place = bare(pointer);
  const control = named(place) ?? named(place.replace(/\/\d+$/, ''));
  const label = control?.labels?.[0]?.textContent.replace(/ \(required\)$/, '');
  if (!label) return placeOf(place);
  const entries = [];
  for (let entry = control.closest('.form-entry'); entry; entry = entry.parentElement.closest('.form-entry')) {
    entries.unshift(entry.querySelector('legend').textContent);
  }
  return [...entries, label].join(', ');
}

/** `/tunnels/0/bgp/local_ip` to `tunnels 1, bgp, local ip`. */
function placeOf(place) {
  const text = place.slice(1).replaceAll('_', ' ').replace(/\/(\d+)(?=\/|$)/g, (_, i) => ` ${Number(i) + 1}`).replaceAll('/', ', ');
  return text || 'the whole';
}
