// The dashboard: which page is at which route, and who may see it.
import { html, render, useEffect, useErrorBoundary, useState } from './core/html.js';
import { match, useRoute } from './core/router.js';
import { follow, stop, stream, subscribe } from './core/live.js';
import { refresh, session, start } from './core/session.js';
import { useStore } from './core/store.js';
import { Shell } from './ui/shell.js';
import { SignIn } from './ui/signin.js';
import { Away } from './ui/away.js';
import { Empty, Page, ProblemNotice, Spinner } from './ui/index.js';

// One line a route: pattern, module (loaded when it is first wanted), and its style sheet if it has one.
// The first that fits is taken. What the navigation shows is in ui/shell.js.
const ROUTES = [
  ['/', () => import('./pages/topology.js'), 'topology'],
  ['/sessions', () => import('./pages/sessions.js')],
  ['/tunnels/:id', () => import('./pages/tunnel.js'), 'tunnel'],
  ['/connections/:name/diagnosis', () => import('./pages/diagnosis.js'), 'diagnosis'],
  ['/resources', () => import('./pages/resources.js'), 'resources'],
  ['/resources/:kind', () => import('./pages/resources.js'), 'resources'],
  ['/resources/:kind/:name', () => import('./pages/resources_form.js'), 'resources'],
  ['/connections/:name', () => import('./pages/connection.js'), 'connection'],
  ['/connections/:name/peer-config', () => import('./pages/peerconfig.js'), 'peerconfig'],
  ['/tokens', () => import('./pages/tokens.js'), 'tokens'],
  ['/events', () => import('./pages/events.js'), 'events'],
  ['/routes', () => import('./pages/routes.js'), 'routes'],
  ['/routes/:gateway/:prefix', () => import('./pages/route.js'), 'route'],
  ['/traffic', () => import('./pages/traffic.js'), 'traffic'],
];

const sheets = new Map();

/** Fetches a page's style sheet; it applies only while its page is shown, so that pages need not know each other's names. */
function style(name) {
  if (!name) return Promise.resolve();
  if (!sheets.has(name)) {
    const href = new URL(`style/pages/${name}.css`, import.meta.url).href;
    const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href, media: 'not all' });
    const loaded = new Promise((done) => {
      link.onload = done;
      link.onerror = () => { sheets.delete(name); link.remove(); done(); };
    });
    sheets.set(name, { link, loaded });
    document.head.append(link);
  }
  return sheets.get(name).loaded;
}

function showStyle(wanted) {
  for (const [name, { link }] of sheets) link.media = name === wanted ? 'all' : 'not all';
}

/** Fetches all pages once the first one is there: they are shown at once then, even while the daemon is away. */
function fetchAll() {
  setTimeout(() => {
    for (const [, load, sheet] of ROUTES) {
      // One that fails now is fetched again when it is wanted, and says so then.
      load().catch(() => {});
      style(sheet);
    }
  }, 1000);
}

function find(segments) {
  for (const [pattern, load, sheet] of ROUTES) {
    const params = match(pattern, segments);
    if (params) return { pattern, load, sheet, params };
  }
  return null;
}

/** The page of a route. Another route of the same page keeps its state; another page begins anew. */
function Current({ route }) {
  const found = find(route.segments);
  const [loaded, setLoaded] = useState({});
  useEffect(() => {
    if (!found) return undefined;
    let wanted = true;
    Promise.all([found.load(), style(found.sheet)]).then(
      ([module]) => {
        if (!wanted) return;
        showStyle(found.sheet);
        setLoaded({ pattern: found.pattern, View: module.default });
      },
      (error) => wanted && setLoaded({ pattern: found.pattern, error }),
    );
    return () => { wanted = false; };
  }, [found?.pattern]);
  if (!found) return html`<${Missing} path=${route.path} />`;
  if (loaded.pattern !== found.pattern) return html`<${Spinner} />`;
  if (loaded.error) return html`<${NotLoaded} error=${loaded.error} />`;
  return html`<${Guarded} key=${found.pattern} View=${loaded.View} params=${found.params} query=${route.query} />`;
}

function Guarded({ View, params, query }) {
  const [error] = useErrorBoundary((found) => console.error(found));
  if (error) return html`<${Broken} error=${error} />`;
  return html`<${View} params=${params} query=${query} />`;
}

/** A browser may keep a module that failed for failed: when the daemon answers again, all is loaded anew. */
function NotLoaded({ error }) {
  useEffect(() => stream.subscribe(({ connected }) => connected && location.reload()), []);
  return html`<${Broken} error=${error} />`;
}

const Missing = ({ path }) => html`<${Page} title="No such page">
  <${Empty} title="There is nothing here"><p>No page is at <code>${path}</code>. <a href="#/">Go to the topology</a>.</p><//>
<//>`;

const Broken = ({ error }) => html`<${Page} title="This page does not work">
  <${ProblemNotice} problem=${{ title: 'It could not be shown', detail: error.message }} onRetry=${() => location.reload()} />
<//>`;

function App() {
  const { state, reason } = useStore(session);
  const route = useRoute();
  useEffect(() => {
    if (state === 'in') follow();
    else stop();
  }, [state]);
  useEffect(() => { if (state === 'in') fetchAll(); }, [state]);
  useEffect(() => subscribe((event) => { if (event === null) refresh(); }), []);
  if (state === 'starting') return html`<${Spinner} label="Connecting" />`;
  if (state === 'away') return html`<${Away} reason=${reason} />`;
  if (state === 'out') return html`<${SignIn} reason=${reason} />`;
  return html`<${Shell} route=${route}><${Current} route=${route} /><//>`;
}

start();
render(html`<${App} />`, document.getElementById('app'));
