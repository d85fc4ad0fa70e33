// A secret in a form: never shown unless somebody who may see it asks, which the audit log has.
import { html, useState } from '../core/html.js';
import { api, path as url } from '../core/http.js';
import { CopyButton, Field, toast } from '../ui/index.js';
import { pointerOf } from './resources_document.js';

/** `value`: what was typed, form.mask for the one that is there, undefined for none. */
export function Secret({ common, schema, path, value, set, form }) {
  const [shown, setShown] = useState(false);
  if (value === form.mask) return html`<${Kept} common=${common} path=${path} set=${set} form=${form} />`;
  const kept = form.initialAt(path) === form.mask;
  return html`<div class="form-secret">
    <${Field} ...${common} hint=${kept ? 'Empty: none. A pre-shared key that is left empty stays as it is.' : common.hint}>
      <input type=${shown ? 'text' : 'password'} value=${value ?? ''} autocomplete="new-password" spellcheck="false"
        maxlength=${schema.longest} onInput=${(event) => set(event.target.value)} />
    <//>
    <p class="actions">
      <button type="button" class="small" onClick=${() => setShown(!shown)} aria-pressed=${shown}>${shown ? 'Hide' : 'Show'} what is typed</button>
      ${kept && html`<button type="button" class="small" onClick=${() => set(form.mask)}>Keep the one that is there</button>`}
    </p>
  </div>`;
}

function Kept({ common, path, set, form }) {
  const [secret, setSecret] = useState(null);
  const [busy, setBusy] = useState(false);
  const reveal = async () => {
    setBusy(true);
    try {
      const { data } = await api.post(url`/v1/${form.kind.path}/${form.name}/reveal`);
      setSecret(data.secrets[pointerOf(path)] ?? '');
    } catch (problem) {
      toast('bad', `${common.label}: ${problem.message}`);
    }
    setBusy(false);
  };
  return html`<div class="field form-kept" role="group" aria-label=${common.label}>
    <span class="form-label">${common.label}</span>
    ${common.error && html`<p class="error">${common.error}</p>`}
    ${secret === null ? html`<p class="muted">Set, and not shown.</p>` : html`<p><code>${secret}</code></p>`}
    <p class="actions">
      <button type="button" class="small" name=${common.name} disabled=${form.disabled} onClick=${() => set(undefined)}>Change</button>
      ${form.mayReveal && secret === null && html`<button type="button" class="small" disabled=${busy} onClick=${reveal}
        title="The audit log notes who looked">Reveal</button>`}
      ${secret !== null && html`<${CopyButton} text=${secret} /><button type="button" class="small" onClick=${() => setSecret(null)}>Hide</button>`}
    </p>
  </div>`;
}
