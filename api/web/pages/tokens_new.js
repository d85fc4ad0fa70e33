// A token is made, and shown once.
import { html, useState } from '../core/html.js';
import { api } from '../core/http.js';
import { CopyButton, Dialog, Field, Notice, Plan, ProblemNotice, SelectField } from '../ui/index.js';

const SCOPES = [['read', 'read: see everything but secrets'], ['operate', 'operate: also switch, restart, diagnose'],
  ['admin', 'admin: change everything, see secrets']];
const SPANS = [['30', 'in 30 days'], ['90', 'in 90 days'], ['365', 'in a year'], ['never', 'never']];
const DAY = 86_400_000;

/** Three steps in one dialog: what it shall be, what that means, the token. */
export function NewToken({ onClose }) {
  const [wish, setWish] = useState({ name: '', scope: 'read', span: '90' });
  const [plan, setPlan] = useState(null);
  const [made, setMade] = useState(null);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const body = {
    name: wish.name.trim(), scope: wish.scope,
    expires_at: wish.span === 'never' ? null : new Date(Date.now() + Number(wish.span) * DAY).toISOString(),
  };
  const send = async (dryRun) => {
    setBusy(true);
    setProblem(null);
    try {
      const { data } = await api.post('/v1/tokens', body, { dryRun });
      if (dryRun) setPlan(data.plan);
      else setMade(data);
    } catch (found) {
      setProblem(found);
      setPlan(null);
    }
    setBusy(false);
  };
  if (made) return html`<${Made} token=${made} onClose=${onClose} />`;
  const step = plan ? html`<${Plan} plan=${plan} />` : html`<${Wish} wish=${wish} set=${setWish} problem=${problem} />`;
  return html`<${Dialog} title="New token" onClose=${onClose}>
    <form class="token-form" onSubmit=${(event) => { event.preventDefault(); send(!plan); }}>
      ${step}
      ${problem && !problem.errors.length && html`<${ProblemNotice} problem=${problem} />`}
      <footer class="actions">
        ${plan ? html`<button type="button" onClick=${() => setPlan(null)}>Back</button>` : html`<button type="button" onClick=${onClose}>Cancel</button>`}
        <button type="submit" class="primary" disabled=${busy}>${plan ? 'Make it' : 'Review…'}</button>
      </footer>
    </form>
  <//>`;
}

function Wish({ wish, set, problem }) {
  const take = (key) => (event) => set({ ...wish, [key]: event.target.value });
  const wrong = (key) => problem?.errors.find(({ pointer }) => pointer === `#/${key}`)?.detail;
  return html`
    <${Field} label="Name" name="name" required error=${wrong('name')} hint="Who or what it is for; the audit log shows it.">
      <input type="text" maxlength="64" autocomplete="off" value=${wish.name} onInput=${take('name')} />
    <//>
    <${SelectField} label="Scope" name="scope" options=${SCOPES} value=${wish.scope} onInput=${take('scope')} error=${wrong('scope')} />
    <${SelectField} label="It ends" name="expires_at" options=${SPANS} value=${wish.span} onInput=${take('span')} error=${wrong('expires_at')} />`;
}

const Made = ({ token, onClose }) => html`<${Dialog} title=${`Token ${token.name}`} onClose=${onClose} stays>
  <${Notice} kind="good" title="It is made"><p>Copy it now: it is not shown again, as only its digest is kept.</p><//>
  <p class="token-text"><code>${token.token}</code></p>
  <footer class="actions"><${CopyButton} text=${token.token} label="Copy the token" />
    <button type="button" class="primary" onClick=${onClose}>Done</button></footer>
<//>`;
