// Form fields with label, hint and error tied to the control.
import { cloneElement, html, useId } from '../core/html.js';

/**
 * `children`: one control (input, select, textarea), which gets name, id and the aria attributes; without it a
 * text input with `value`, `onInput(event)` and further attributes in `input`.
 */
export function Field({ label, name, hint, error, required, value, onInput, input, children }) {
  const id = useId();
  const control = children ?? html`<input type="text" value=${value ?? ''} onInput=${onInput} autocomplete="off" ...${input} />`;
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ');
  return html`<div class=${`field ${error ? 'field-bad' : ''}`}>
    <label for=${id}>${label}${required && html`<span class="required"> (required)</span>`}</label>
    ${cloneElement(control, {
      id, name, required: required || undefined,
      'aria-describedby': described || undefined, 'aria-invalid': error ? 'true' : undefined,
    })}
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${error && html`<p class="error" id=${`${id}-error`}>${error}</p>`}
  </div>`;
}

/** `options`: [[value, label], …]. */
export const SelectField = ({ options, value, onInput, ...rest }) => html`<${Field} ...${rest}>
  <select value=${value ?? ''} onInput=${onInput}>
    ${options.map(([one, label]) => html`<option key=${one} value=${one} selected=${one === (value ?? '')}>${label}</option>`)}
  </select>
<//>`;

/** A box to tick. */
export function CheckField({ label, name, hint, error, checked, onInput, disabled }) {
  const id = useId();
  return html`<div class="field field-check">
    <label><input type="checkbox" name=${name} checked=${checked} onInput=${onInput} disabled=${disabled}
      aria-describedby=${hint || error ? `${id}-hint` : undefined} aria-invalid=${error ? 'true' : undefined} />
      <span>${label}</span></label>
    ${(hint || error) && html`<p class=${error ? 'error' : 'hint'} id=${`${id}-hint`}>${error ?? hint}</p>`}
  </div>`;
}
