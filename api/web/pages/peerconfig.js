// The configuration of a connection's other side: preview, copy, download.
import { html, useEffect, useState } from '../core/html.js';
import { api, request, path as url } from '../core/http.js';
import { link, navigate } from '../core/router.js';
import { useActor } from '../core/session.js';
import { CopyButton, Loaded, Notice, Page, ProblemNotice, SelectField, Spinner } from '../ui/index.js';
import { useLive } from '../core/live.js';
import { whyNot } from './resources_rights.js';

const PREFERRED = 'strongswan-frr';

export default function PeerConfig({ params, query }) {
  const live = useLive((signal) => api.get('/v1/peer-config-platforms', {}, { signal }).then(({ data }) => data.items ?? data));
  const parent = { href: link('/connections/:name', {}, params), label: `Connection ${params.name}` };
  return html`<${Page} title="Peer configuration" parent=${parent}
    lead=${`What the other side of ${params.name} is told: both tunnels, keys, algorithms, BGP. Lines with EDIT: are for you to fill in.`}>
    <${Loaded} live=${live}>${(platforms) => html`<${Choice} name=${params.name} platforms=${platforms} query=${query} />`}<//>
  <//>`;
}

function Choice({ name, platforms, query }) {
  const actor = useActor();
  const [secrets, setSecrets] = useState(false);
  const standard = platforms.some((one) => one.name === PREFERRED) ? PREFERRED : platforms[0]?.name;
  const platform = platforms.find((one) => one.name === (query.platform ?? standard));
  const choose = (event) => navigate(url`/connections/${name}/peer-config`, { platform: event.target.value }, { replace: true });
  const why = whyNot(actor, 'admin');
  return html`<div class="peerconfig">
    <form class="peerconfig-choice" onSubmit=${(event) => event.preventDefault()}>
      <${SelectField} label="Platform" name="platform" value=${platform?.name} onInput=${choose} hint=${platform?.notes}
        options=${platforms.map((one) => [one.name, one.title])} />
      <div class="field field-check"><label><input type="checkbox" name="secrets" checked=${secrets} disabled=${Boolean(why)}
        onInput=${(event) => setSecrets(event.target.checked)} aria-describedby="secrets-hint" /><span>With the pre-shared keys and passwords</span></label>
        <p class="hint" id="secrets-hint">${why ? `Not possible: ${why}.` : 'Without them, placeholders stand there. The audit log notes who took them.'}</p></div>
    </form>
    ${query.platform && !platform && html`<${Notice} kind="warn"><p>There is no platform ${query.platform}.</p><//>`}
    ${platform && html`<${Preview} key=${`${platform.name} ${secrets}`} name=${name} platform=${platform} secrets=${secrets} />`}
  </div>`;
}

/** The text, loaded as it will be downloaded. */
function Preview({ name, platform, secrets }) {
  const where = url`/v1/vpn-connections/${name}/peer-config`;
  const query = { platform: platform.name, secrets: secrets || undefined };
  const [found, setFound] = useState({});
  const load = (signal) => request('GET', where, { query, headers: { Accept: '*/*' }, signal })
    .then(async (answer) => setFound({ text: await answer.text(), filename: filenameOf(answer) ?? `${name}-${platform.name}.${platform.extension}` }))
    .catch((error) => error.name !== 'AbortError' && setFound({ error }));
  useEffect(() => {
    const control = new AbortController();
    load(control.signal);
    return () => control.abort();
  }, []);
  if (found.error) return html`<${ProblemNotice} problem=${found.error} />`;
  if (found.text === undefined) return html`<${Spinner} />`;
  const edits = found.text.split('\n').filter((line) => line.includes('EDIT:')).length;
  return html`<section aria-label="Configuration">
    <div class="actions">
      <${Download} text=${found.text} filename=${found.filename} />
      <${CopyButton} text=${found.text} label="Copy all" />
      <span class="muted">${found.filename}, ${found.text.split('\n').length} lines${edits ? `, ${edits} to edit` : ''}</span>
    </div>
    ${secrets && html`<${Notice} kind="warn"><p>This has the keys in clear: hand it on as you would hand on a key.</p><//>`}
    <pre class="peerconfig-text" tabindex="0" aria-label=${`Configuration for ${platform.title}`}>${found.text.split('\n').map((line) => (
      line.includes('EDIT:') ? html`<mark>${line}</mark>${'\n'}` : `${line}\n`))}</pre>
  </section>`;
}

/** What is shown is what is saved, without another request (which would be another entry in the audit log). */
function Download({ text, filename }) {
  const [href, setHref] = useState(null);
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
    setHref(made);
    return () => URL.revokeObjectURL(made);
  }, [text]);
  return html`<a class="button primary" href=${href} download=${filename}>Download</a>`;
}

const filenameOf = (answer) => /filename="([^"]+)"/.exec(answer.headers.get('content-disposition') ?? '')?.[1];
