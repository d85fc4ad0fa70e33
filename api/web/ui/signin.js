// Sign-in by token.
import { html, useState } from '../core/html.js';
import { signIn, TOKEN } from '../core/session.js';
import { Field } from './field.js';
import { ProblemNotice } from './page.js';

/** `reason`: why the one before is no good any more; null at first. */
export function SignIn({ reason }) {
  const [token, setToken] = useState('');
  const [keep, setKeep] = useState(true);
  const [error, setError] = useState(null);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setProblem(null);
    const given = token.trim();
    if (!TOKEN.test(given)) {
      setError('A token looks like bgpsvc_4f7c2a.Zx0m…: all of it, from bgpsvc_ to the end');
      return;
    }
    setError(null);
    setBusy(true);
    try {
      await signIn(given, keep);
    } catch (found) {
      setProblem(found);
      setBusy(false);
    }
  };
  return html`<main class="gate"><form class="gate-box" onSubmit=${submit}>
    <h1>Sign in to bgpsvc</h1>
    ${reason && !problem && html`<p class="notice notice-warn" role="status">${reason}</p>`}
    <${ProblemNotice} problem=${problem} />
    <input type="text" name="username" autocomplete="username" value="bgpsvc" hidden />
    <${Field} label="Token" name="token" error=${error} required
      hint=${html`Made on the gateway with <code class="command">bgpsvc token create --name NAME --scope read</code>
        <code>operate</code> instead of <code>read</code> may switch tunnels, <code>admin</code> may change resources. Or
        open the address that <code class="command">bgpsvc dashboard</code> prints there.`}>
      <input type="password" autocomplete="current-password" spellcheck="false" value=${token} autofocus
        onInput=${(event) => setToken(event.target.value)} />
    <//>
    <div class="field field-check"><label><input type="checkbox" checked=${keep} onInput=${(event) => setKeep(event.target.checked)} />
      <span>Keep it in this tab until it is closed</span></label></div>
    <button type="submit" class="primary" disabled=${busy}>${busy ? 'Signing in…' : 'Sign in'}</button>
  </form></main>`;
}
