import { html, useState } from '../core/html.js';
import { toast } from './toasts.js';

/** Copies `text`; `label` says what it is. The clipboard exists on https and loopback only: elsewhere no button. */
export function CopyButton({ text, label = 'Copy' }) {
  const [done, setDone] = useState(false);
  if (!navigator.clipboard) return null;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      setTimeout(() => setDone(false), 2000);
    } catch (error) {
      toast('bad', `not copied: ${error.message}`);
    }
  };
  return html`<button type="button" class="small" onClick=${copy}>${done ? 'Copied' : label}</button>`;
}
