// Short notices at the edge, and a voice for screen readers.
import { html, useLayoutEffect, useRef } from '../core/html.js';
import { createStore, useStore } from '../core/store.js';
import { Status } from './status.js';

const SHOWN = 8000;
/** Pixels between the notices and what is beside them. */
const GAP = 16;
const toasts = createStore([]);
const spoken = createStore({ text: '', turn: 0 });
let next = 1;

/** kind: good, warn, bad. Bad ones stay until they are closed. */
export function toast(kind, text) {
  const id = next++;
  toasts.set([...toasts.get(), { id, kind, text }].slice(-4));
  announce(text);
  if (kind !== 'bad') setTimeout(() => drop(id), SHOWN);
}

const drop = (id) => toasts.set(toasts.get().filter((one) => one.id !== id));

/** Says something to who does not see the page; it does not interrupt. */
export const announce = (text) => spoken.set({ text, turn: spoken.get().turn + 1 });

/** Above the buttons of a form that stay in sight (.form-end), if there is no room below them. */
function keepClear(box) {
  const bar = document.querySelector('.form-end')?.getBoundingClientRect();
  const covered = bar && innerHeight - bar.bottom < box.offsetHeight + 2 * GAP;
  box.style.bottom = covered ? `${innerHeight - bar.top + GAP}px` : '';
}

export function Toasts() {
  const shown = useStore(toasts);
  const box = useRef();
  useLayoutEffect(() => keepClear(box.current));
  return html`<section class="toasts" aria-label="Notices" ref=${box}>
    ${shown.map(({ id, kind, text }) => html`<div class="toast" key=${id}>
      <${Status} kind=${kind}>${text}<//>
      <button type="button" class="quiet" aria-label="Dismiss" onClick=${() => drop(id)}>✕</button>
    </div>`)}
  </section>`;
}

/** The text changes place with each message: the same one twice is said twice. */
export function Announcer() {
  const { text, turn } = useStore(spoken);
  return html`<div class="visually-hidden" aria-live="polite" id="announcer">
    <span>${turn % 2 ? text : ''}</span><span>${turn % 2 ? '' : text}</span>
  </div>`;
}
