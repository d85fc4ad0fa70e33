// Who may ask: API tokens, the key for secrets, and the audit log.
import { html, useState } from '../core/html.js';
import { all, api, path as url } from '../core/http.js';
import { useActor } from '../core/session.js';
import { useLive } from '../core/live.js';
import { ConfirmDialog, Empty, Loaded, Page, Past, Plan, Status, Table, Time } from '../ui/index.js';
import { useDryRun } from './connection_ask.js';
import { Cannot, Doing, whyNot } from './resources_rights.js';
import { Audit } from './tokens_audit.js';
import { NewToken } from './tokens_new.js';

export default function Tokens() {
  const actor = useActor();
  const why = whyNot(actor, 'admin');
  const [doing, setDoing] = useState(null);
  const actions = html`<${Doing} why=${why} onClick=${() => setDoing({ what: 'rotate' })}>New key for secrets…<//>
    <${Doing} class="primary" why=${why} onClick=${() => setDoing({ what: 'new' })}>New token<//>`;
  return html`<${Page} title="Tokens" actions=${actions}
    lead="A token says who asks and what they may do: read sees, operate also switches, admin changes everything.">
    <${Cannot} why=${why} />
    ${!why && html`<${Known} doing=${doing} setDoing=${setDoing} />`}
  <//>`;
}

function Known({ doing, setDoing }) {
  const live = useLive((signal) => all('/v1/tokens', {}, { signal }), { every: 10_000 });
  const close = () => { setDoing(null); live.reload(); };
  const Dialog = doing && { new: NewToken, revoke: Revoke, rotate: Rotate }[doing.what];
  return html`
    <${Loaded} live=${live}>${(tokens) => (tokens.length === 0
      ? html`<${Empty} title="There is no token yet"><p>Make one for each person and program, so that the audit log tells them apart.</p><//>`
      : html`<${List} tokens=${tokens} onRevoke=${(token) => setDoing({ what: 'revoke', token })} />`)}<//>
    <${Audit} />
    ${Dialog && html`<${Dialog} ...${doing} onClose=${close} />`}`;
}

function List({ tokens, onRevoke }) {
  const actor = useActor();
  const state = (token) => {
    if (token.revoked_at) return html`<${Status} kind="off">revoked<//>`;
    if (token.expires_at && Date.parse(token.expires_at) <= Date.now()) return html`<${Status} kind="off">expired<//>`;
    return html`<${Status} kind="good">valid<//>`;
  };
  const mine = (token) => actor?.name === `token ${token.id} (${token.name})`;
  const ended = (token) => token.revoked_at || (token.expires_at && Date.parse(token.expires_at) <= Date.now());
  const columns = [
    { key: 'name', label: 'Name', render: (token) => html`${token.name}${mine(token) ? html` <span class="muted">(yours)</span>` : ''}<span class="narrow-only muted"> ${token.scope}</span>` },
    { key: 'state', label: 'State', render: state },
    { key: 'scope', label: 'Scope', narrow: 'hide' },
    { key: 'id', label: 'Id', render: (token) => html`<code>${token.id}</code>`, narrow: 'hide' },
    { key: 'expires_at', label: 'Ends', render: (token) => (token.expires_at ? html`<${Time} at=${token.expires_at} />` : 'never') },
    { key: 'last_used_at', label: 'Last used', render: (token) => (token.last_used_at ? html`<${Past} at=${token.last_used_at} />` : 'never'), narrow: 'hide' },
    { key: 'created_at', label: 'Made', render: (token) => html`<${Time} at=${token.created_at} />`, narrow: 'hide' },
    {
      key: 'do', label: 'Revoke',
      render: (token) => (ended(token) ? '–' : html`<button type="button" class="small" aria-label=${`Revoke ${token.name}`}
        onClick=${() => onRevoke(token)}>Revoke…</button>`),
    },
  ];
  const order = (one, other) => Boolean(ended(one)) - Boolean(ended(other)) || one.name.localeCompare(other.name);
  return html`<div class="tokens"><${Table} caption="API tokens" columns=${columns} rows=${[...tokens].sort(order)} rowKey=${(token) => token.id} /></div>`;
}

function Revoke({ token, onClose }) {
  const where = url`/v1/tokens/${token.id}`;
  const { data, error } = useDryRun(() => api.delete(where, undefined, { dryRun: true }).then((answer) => answer.data), token.id);
  return html`<${ConfirmDialog} title=${`Revoke ${token.name}?`} danger plan=${data && html`<${Plan} plan=${data.plan} />`} error=${error}
    confirm=${{ label: 'Revoke', run: () => api.delete(where) }} done=${`${token.name} is revoked`} onClose=${onClose}>
    <p>Whoever uses it is refused at once, and its event streams end within seconds. That cannot be undone.</p>
  <//>`;
}

function Rotate({ onClose }) {
  const { data, error } = useDryRun(() => api.post('/v1/secrets/rotate-key', undefined, { dryRun: true }).then((answer) => answer.data), 0);
  return html`<${ConfirmDialog} title="Encrypt all secrets with a new key?" plan=${data && html`<p>${data.rotated === 1 ? 'One secret is' : `${data.rotated} secrets are`} encrypted
    anew. Nothing else changes: keys of tunnels stay as they are, and no session is touched.</p>`} error=${error}
    confirm=${{ label: 'Make a new key', run: () => api.post('/v1/secrets/rotate-key') }} done="All secrets are encrypted with a new key" onClose=${onClose}>
    <p>For pre-shared keys and passwords in the database. Backups need the key of their time.</p>
  <//>`;
}
