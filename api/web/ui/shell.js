// The frame around every page: navigation, state of the connection to the daemon, who is signed in.
import { html, useEffect, useRef } from '../core/html.js';
import { useActor, signOut } from '../core/session.js';
import { subscribe, useStream } from '../core/live.js';
import { useStore } from '../core/store.js';
import { outdated, watchVersion } from '../core/version.js';
import { apply, setTheme, theme, THEMES } from '../core/theme.js';
import { Announcer, Toasts, toast } from './toasts.js';
import { Status } from './status.js';
import { Past } from './time.js';

// One line an entry: where, what it is called, first part of the routes that belong to it, scope that it needs.
const NAVIGATION = [
  ['#/', 'Topology', ['', 'tunnels', 'connections']],
  ['#/sessions', 'Sessions', ['sessions']],
  ['#/routes', 'Routes', ['routes']],
  ['#/traffic', 'Traffic', ['traffic']],
  ['#/events', 'Events', ['events']],
  ['#/resources', 'Resources', ['resources']],
  ['#/tokens', 'Tokens', ['tokens'], 'admin'],
];

const SEVERITIES = { info: 'good', warning: 'warn', error: 'bad' };

apply();

/** Traffic that changed its tunnel is said on every page. */
function tellOfTraffic(event) {
  if (event?.kind.startsWith('connection.')) toast(SEVERITIES[event.severity], `${event.subject}: ${event.message}`);
}

export function Shell({ route, children }) {
  const actor = useActor();
  const main = useRef();
  const navigation = useRef();
  useEffect(() => {
    scrollTo(0, 0);
    navigation.current.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [route.path]);
  useEffect(() => subscribe(tellOfTraffic), []);
  useEffect(watchVersion, []);
  const skip = (event) => { event.preventDefault(); main.current.focus(); };
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="top">
      <a class="brand" href="#/" aria-label="bgpsvc, topology"><${Mark} />bgpsvc</a>
      <nav aria-label="Pages" ref=${navigation}><ul>
        ${NAVIGATION.filter(([,,, scope]) => !scope || actor?.scope === scope).map(([href, label, parts]) => html`<li key=${href}>
          <a href=${href} aria-current=${parts.includes(route.segments[0] ?? '') ? 'page' : undefined}>${label}</a>
        </li>`)}
      </ul></nav>
      <div class="top-end"><${Connection} /><${Account} actor=${actor} /></div>
    </header>
    <${Lost} /><${Outdated} />
    <main id="main" tabindex="-1" ref=${main}>${children}</main>
    <${Toasts} /><${Announcer} />`;
}

const Mark = () => html`<svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" class="mark">
  <path d="M3 7h14M3 13h14" /><circle cx="3" cy="10" r="1.6" /><circle cx="17" cy="10" r="1.6" />
</svg>`;

function Connection() {
  const { connected } = useStream();
  if (connected === null) return html`<${Status} kind="off">Connecting<//>`;
  return connected
    ? html`<${Status} kind="good" title="What is shown follows the daemon's events">Live<//>`
    : html`<${Status} kind="bad">Disconnected<//>`;
}

/** What is shown may be old: said above everything, and to screen readers. */
function Lost() {
  const { connected, since, reason } = useStream();
  return html`<div role="alert">${connected === false && html`<p class="banner">
    <strong>The daemon does not answer.</strong> What is shown is as it was <${Past} at=${new Date(since).toISOString()} />
    (${reason}). It is tried again all the time.
  </p>`}</div>`;
}

const Outdated = () => html`<div role="status">${useStore(outdated) && html`<p class="banner banner-info">
  <strong>The daemon was upgraded.</strong> This page is still the old one.${' '}
  <button type="button" class="small" onClick=${() => location.reload()}>Load the new one</button>
</p>`}</div>`;

function Account({ actor }) {
  const chosen = useStore(theme);
  const box = useRef();
  if (!actor) return null;
  return html`<details class="menu" ref=${box} onKeyDown=${closeOnEscape} onFocusOut=${closeOnLeaving}>
    <summary><span class="visually-hidden">Account: </span><span class="menu-name">${actor.kind === 'token' ? shortName(actor.name) : actor.name}</span>
      <span class="scope">${actor.scope}</span></summary>
    <div class="menu-body">
      <p>${actor.name}<br />Scope: <strong>${actor.scope}</strong></p>
      ${actor.read_only && html`<p>Resources cannot be changed here: ${actor.read_only_reason}.</p>`}
      <label>Colours <select value=${chosen} onInput=${(event) => setTheme(event.target.value)}>
        ${THEMES.map(([name, label]) => html`<option value=${name} selected=${name === chosen}>${label}</option>`)}
      </select></label>
      ${actor.kind === 'token'
        ? html`<button type="button" onClick=${() => signOut()}>Sign out</button>`
        : html`<button type="button" onClick=${() => signOut('give a token to be somebody else')}>Use a token</button>`}
    </div>
  </details>`;
}

function closeOnEscape(event) {
  if (event.key !== 'Escape') return;
  event.currentTarget.open = false;
  event.currentTarget.querySelector('summary').focus();
}

/** A click elsewhere, or Tab out of it. */
function closeOnLeaving(event) {
  if (event.relatedTarget && !event.currentTarget.contains(event.relatedTarget)) event.currentTarget.open = false;
}

/** `token 4f7c2a (dashboard)` to `dashboard`. */
const shortName = (name) => /\((.*)\)$/.exec(name)?.[1] ?? name;
