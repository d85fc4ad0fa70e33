// Tabs by the pattern of the ARIA authoring practices: arrow keys move, the tab order has one stop.
import { html, useId, useRef } from '../core/html.js';

/** `tabs`: [{id, label, content}]; `current`: id; `onChange(id)`. */
export function Tabs({ label, tabs, current, onChange }) {
  const prefix = useId();
  const list = useRef();
  const at = Math.max(0, tabs.findIndex(({ id }) => id === current));
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -at, End: tabs.length - 1 - at }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = (at + step + tabs.length) % tabs.length;
    onChange(tabs[next].id);
    list.current.children[next].focus();
  };
  return html`
    <div class="tabs" role="tablist" aria-label=${label} ref=${list} onKeyDown=${move}>
      ${tabs.map((tab, i) => html`<button type="button" role="tab" id=${`${prefix}-${tab.id}`} key=${tab.id}
        aria-selected=${i === at ? 'true' : 'false'} aria-controls=${`${prefix}-panel`} tabindex=${i === at ? 0 : -1}
        onClick=${() => onChange(tab.id)}>${tab.label}</button>`)}
    </div>
    <div role="tabpanel" id=${`${prefix}-panel`} aria-labelledby=${`${prefix}-${tabs[at].id}`} tabindex="0">
      ${tabs[at].content}
    </div>`;
}
