import assert from 'node:assert/strict';
import test from 'node:test';

const kept = new Map();
const page = { href: 'http://127.0.0.1/', hash: '', loads: 0, reload() { this.loads += 1; } };
const heard = [];
globalThis.location = page;
globalThis.history = { state: null, replaceState: (state, title, target) => { page.hash = target; } };
globalThis.addEventListener = (kind, listener) => heard.push(listener);
globalThis.sessionStorage = {
  getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key),
};
// The pauses between attempts, a thousand times as short.
const wait = setTimeout;
globalThis.setTimeout = (call, ms) => wait(call, ms / 1000);
const { can, refresh, session, signIn, signOut, start } = await import('../../../api/web/core/session.js');

const ACTOR = { name: 'token 1 (a)', kind: 'token', scope: 'operate', read_only: false, read_only_reason: null };

/** Answers of /v1/whoami by the token that it is asked with. */
function answering(answer) {
  globalThis.fetch = async (url, { headers }) => {
    const [status, body] = answer(headers.Authorization?.slice('Bearer '.length) ?? null);
    if (status === 0) throw new TypeError('refused');
    return new Response(JSON.stringify(body ?? { title: 'No', detail: 'no' }), { status, headers: { 'content-type': 'application/json' } });
  };
}

const until = (state) => new Promise((done) => {
  if (session.get().state === state) done();
  const off = session.subscribe((now) => now.state === state && (off(), done()));
});

test('who needs no token is in; who does is asked for one, whatever the refusal', async () => {
  answering(() => [200, { ...ACTOR, kind: 'anonymous', scope: 'admin' }]);
  await start();
  assert.equal(session.get().state, 'in');
  for (const status of [401, 421, 429]) {
    session.set({ state: 'starting', actor: null, reason: null });
    answering(() => [status]);
    await start();
    assert.deepEqual(session.get(), { state: 'out', actor: null, reason: null }, String(status));
  }
});

test('a good token is kept for the tab, a wrong one is not and changes nothing', async () => {
  answering((token) => (token === 'good' ? [200, ACTOR] : [401]));
  await assert.rejects(signIn('wrong'), { status: 401 });
  assert.equal(kept.size, 0);
  await signIn('good');
  assert.deepEqual([...kept.values()], ['good']);
  assert.deepEqual(session.get().actor, ACTOR);
  assert.deepEqual(['read', 'operate', 'admin'].map((scope) => can(scope)), [true, true, false]);
  signOut('bye');
  assert.equal(kept.size, 0);
  assert.deepEqual(session.get(), { state: 'out', actor: null, reason: 'bye' });
  assert.equal(can('read'), false);
  await signIn('good', false);
  assert.equal(kept.size, 0);
});

test('a token that is refused later ends the session and says why', async () => {
  answering(() => [401, { title: 'Unauthorized', detail: 'the token is revoked' }]);
  await start();
  assert.deepEqual(session.get(), { state: 'out', actor: null, reason: 'the token is revoked' });
});

test('a daemon that is away is waited for', async () => {
  answering(() => [0]);
  await start();
  assert.equal(session.get().state, 'away');
  answering(() => [200, ACTOR]);
  await until('in');
});

test('a daemon that was started anew may give other rights, or none', async () => {
  answering(() => [200, ACTOR]);
  await start();
  answering(() => [200, { ...ACTOR, read_only: true, read_only_reason: 'a file' }]);
  await refresh();
  assert.equal(session.get().actor.read_only, true);
  answering(() => [0]);
  await refresh();
  assert.equal(session.get().state, 'in');
  answering(() => [401, { title: 'Unauthorized', detail: 'the token is unknown' }]);
  await refresh();
  assert.equal(session.get().state, 'out');
});

// A module of its own each time, as after a reload.
let loads = 0;
const load = () => import(`../../../api/web/core/session.js?${loads += 1}`);

test('the token of an address signs in, and is out of the address before anything is asked', async () => {
  kept.clear();
  page.hash = '#token=bgpsvc_4f7c2a.Zx0m-_';
  const asked = [];
  answering((token) => { asked.push([token, page.hash]); return [200, ACTOR]; });
  const opened = await load();
  assert.equal(page.hash, '#/');
  await opened.start();
  assert.equal(opened.session.get().state, 'in');
  assert.deepEqual(asked, [['bgpsvc_4f7c2a.Zx0m-_', '#/']]);
  assert.deepEqual([...kept.values()], ['bgpsvc_4f7c2a.Zx0m-_']);
});

test('one that is refused is forgotten, with the reason; what is none is not asked with', async () => {
  kept.clear();
  page.hash = '#token=bgpsvc_4f7c2a.old';
  answering(() => [401, { title: 'Unauthorized', detail: 'the token is revoked' }]);
  const refused = await load();
  await refused.start();
  assert.deepEqual(refused.session.get(), { state: 'out', actor: null, reason: 'the token is revoked' });
  assert.equal(kept.size, 0);
  page.hash = '#token=<b>';
  const asked = [];
  answering((token) => { asked.push(token); return [401]; });
  await (await load()).start();
  assert.deepEqual([asked, page.hash, kept.size], [[null], '#/', 0]);
});

test('such an address in a tab that is there already begins anew, and no page is looked up for it', async () => {
  await load();
  const changed = heard.at(-1);
  let stopped = 0;
  const event = { stopImmediatePropagation: () => { stopped += 1; } };
  page.hash = '#/routes';
  changed(event);
  assert.deepEqual([stopped, page.loads], [0, 0]);
  page.hash = '#token=bgpsvc_4f7c2a.Zx0m-_';
  changed(event);
  assert.deepEqual([stopped, page.loads, page.hash], [1, 1, '#/']);
  assert.deepEqual([...kept.values()], ['bgpsvc_4f7c2a.Zx0m-_']);
});
