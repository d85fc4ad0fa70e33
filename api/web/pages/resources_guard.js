// Changes that are not saved do not get lost by a click: leaving the page is asked about.
import { html, useEffect, useRef, useState } from '../core/html.js';
import { guardBy } from '../core/router.js';
import { Dialog } from '../ui/index.js';

/** While `dirty`, asks before another page is shown; `leave()` lets the next navigation pass. */
export function useGuard(dirty) {
  const [onward, setOnward] = useState(null);
  const free = useRef(false);
  useEffect(() => {
    if (!dirty) return undefined;
    free.current = false;
    const unload = (event) => { if (!free.current) event.preventDefault(); };
    addEventListener('beforeunload', unload);
    guardBy((go) => {
      if (free.current) return false;
      setOnward(() => go);
      return true;
    });
    return () => { removeEventListener('beforeunload', unload); guardBy(null); };
  }, [dirty]);
  const leave = () => { free.current = true; };
  const go = () => { leave(); onward(); };
  const dialog = onward !== null && html`<${Dialog} title="Leave without saving?" onClose=${() => setOnward(null)}>
    <p>What you changed here is not saved, and is lost when you leave.</p>
    <footer class="actions">
      <button type="button" onClick=${() => setOnward(null)}>Stay</button>
      <button type="button" class="danger" onClick=${go}>Leave</button>
    </footer>
  <//>`;
  return { leave, dialog };
}
