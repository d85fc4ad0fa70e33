// Changes that are not saved do not get lost by a click: leaving the page is asked about.
import { html, useEffect, useRef, useState } from '../core/html.js';
import { Dialog } from '../ui/index.js';

/** While `dirty`, asks before another page is shown; `leave()` lets the next navigation pass. */
export function useGuard(dirty) {
  const [target, setTarget] = useState(null);
  const free = useRef(false);
  useEffect(() => {
    if (!dirty) return undefined;
    free.current = false;
    const unload = (event) => { if (!free.current) event.preventDefault(); };
    const changed = (event) => {
      if (free.current) return;
      // Before the router hears of it: the address of the form is put back, and the form stays.
      event.stopImmediatePropagation();
      const { hash } = new URL(event.newURL);
      history.replaceState(null, '', event.oldURL);
      setTarget(hash || '#/');
    };
    addEventListener('beforeunload', unload);
    addEventListener('hashchange', changed, { capture: true });
    return () => {
      removeEventListener('beforeunload', unload);
      removeEventListener('hashchange', changed, { capture: true });
    };
  }, [dirty]);
  const leave = () => { free.current = true; };
  const go = () => { leave(); location.hash = target; };
  const dialog = target !== null && html`<${Dialog} title="Leave without saving?" onClose=${() => setTarget(null)}>
    <p>What you changed here is not saved, and is lost when you leave.</p>
    <footer class="actions">
      <button type="button" onClick=${() => setTarget(null)}>Stay</button>
      <button type="button" class="danger" onClick=${go}>Leave</button>
    </footer>
  <//>`;
  return { leave, dialog };
}
