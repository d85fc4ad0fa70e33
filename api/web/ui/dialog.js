// Dialogs: the native element, which keeps the focus inside and closes by Escape.
import { html, useEffect, useId, useRef, useState } from '../core/html.js';
import { ProblemNotice } from './page.js';
import { toast } from './toasts.js';

/** Modal while it is rendered. `onClose()` when it is left; `stays`: a click beside it does not close it. */
export function Dialog({ title, onClose, children, wide, stays }) {
  const element = useRef();
  // Text that is marked with the mouse may end outside: that is no click beside it.
  const pressed = useRef(null);
  const beside = (event) => !stays && [pressed.current, event.target].every((one) => one === element.current);
  const label = useId();
  useEffect(() => {
    const before = document.activeElement;
    if (!element.current.open) element.current.showModal();
    // One that is taken out of the page without being closed first gives the focus back to nobody.
    return () => { if (document.activeElement === document.body) before?.focus(); };
  }, []);
  return html`<dialog ref=${element} class=${wide ? 'wide' : ''} aria-labelledby=${label}
    onClose=${onClose} onPointerDown=${(event) => { pressed.current = event.target; }}
    onClick=${(event) => beside(event) && element.current.close()}>
    <div class="dialog-body">
      <header><h2 id=${label}>${title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick=${() => element.current.close()}>✕</button>
      </header>
      ${children}
    </div>
  </dialog>`;
}

/**
 * Asks before something is done. `plan`: what will happen (a node, from a dry run), null while it is found out;
 * `error`: the dry run's Problem; `confirm`: {label, run()} with a promise; `danger`: it takes something away;
 * `done`: what is said afterwards; `onDone(result)`; `onClose()`.
 */
export function ConfirmDialog({ title, plan, error, danger, confirm, done, onDone, onClose, children }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const left = useRef(false);
  useEffect(() => () => { left.current = true; }, []);
  const run = async () => {
    const here = location.hash;
    setBusy(true);
    setProblem(null);
    try {
      const result = await confirm.run();
      if (done) toast('good', done);
      // Whoever is on another page by now is not taken away from it.
      if (location.hash === here) onDone?.(result);
      if (!left.current) onClose();
    } catch (found) {
      // Who has left the dialog meanwhile hears of it all the same.
      if (left.current) toast('bad', `${title} It failed: ${found.message}`);
      setProblem(found);
      setBusy(false);
    }
  };
  const waiting = plan === null && !error;
  return html`<${Dialog} title=${title} onClose=${onClose}>
    ${children}
    ${waiting ? html`<p role="status">Finding out what would happen…</p>` : plan}
    <${ProblemNotice} problem=${problem ?? error} />
    <footer class="actions">
      <button type="button" onClick=${onClose}>Cancel</button>
      <button type="button" class=${danger ? 'danger' : 'primary'} disabled=${busy || waiting || Boolean(error)}
        onClick=${run}>${busy ? 'Working…' : confirm.label}</button>
    </footer>
  <//>`;
}
