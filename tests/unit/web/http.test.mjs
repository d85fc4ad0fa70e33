import assert from 'node:assert/strict';
import test from 'node:test';

globalThis.location = { href: 'http://gateway.example/bgpsvc/?x=1#/sessions' };
const { all, api, configure, path, Problem, toUrl } = await import('../../../api/web/core/http.js');

const json = (body, status = 200, headers = {}) => new Response(body === null ? null : JSON.stringify(body), {
  status, headers: { 'content-type': 'application/json', ...headers },
});

/** Answers requests in turn, and keeps them. */
function answering(...answers) {
  const asked = [];
  globalThis.fetch = async (url, options) => {
    asked.push({ url: String(url), ...options });
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return asked;
}

test('addresses stay below the page, names are encoded, empty values are left out', () => {
  assert.equal(String(toUrl('/v1/routes', { a: 'x y', b: ['1', '2'], c: null, d: '', e: false, f: 0 })),
    'http://gateway.example/bgpsvc/v1/routes?a=x+y&b=1&b=2&e=false&f=0');
  assert.equal(path`/v1/tunnels/${'a/../b?c#d'}/history`, '/v1/tunnels/a%2F..%2Fb%3Fc%23d/history');
});

test('the token goes with every request and nowhere else', async () => {
  configure({ token: () => 'bgpsvc_a.b', onRefused: () => {} });
  const asked = answering(json({ items: [] }, 200, { etag: '"7"' }));
  assert.deepEqual(await api.get('/v1/vpcs', { limit: 1 }), { data: { items: [] }, etag: '"7"', status: 200 });
  assert.equal(asked[0].headers.Authorization, 'Bearer bgpsvc_a.b');
  assert.ok(!asked[0].url.includes('bgpsvc_a'));
  assert.equal(asked[0].credentials, 'omit');
  assert.equal(asked[0].redirect, 'error');
});

test('writes say what they are', async () => {
  const asked = answering(json({}), json({}), json(null, 200));
  await api.patch('/v1/vpcs/a', { cidrs: null }, { etag: '"3"', dryRun: true });
  await api.post('/v1/vpcs', { name: 'a' }, { key: 'k1' });
  await api.delete('/v1/vpcs/a');
  assert.deepEqual(asked.map(({ method }) => method), ['PATCH', 'POST', 'DELETE']);
  assert.equal(asked[0].headers['Content-Type'], 'application/merge-patch+json');
  assert.equal(asked[0].headers['If-Match'], '"3"');
  assert.equal(asked[0].body, '{"cidrs":null}');
  assert.ok(asked[0].url.endsWith('/v1/vpcs/a?dry_run=true'));
  assert.equal(asked[1].headers['Content-Type'], 'application/json');
  assert.equal(asked[1].headers['Idempotency-Key'], 'k1');
  assert.equal(asked[2].body, undefined);
  assert.ok(!('Content-Type' in asked[2].headers));
});

test('lists are read to their end', async () => {
  const asked = answering(json({ items: [1, 2], next_cursor: 'c 1' }), json({ items: [3], next_cursor: null }));
  assert.deepEqual(await all('/v1/vpcs'), [1, 2, 3]);
  assert.ok(asked[1].url.endsWith('limit=1000&cursor=c+1'));
});

test('errors are the problems that the API tells', async () => {
  const errors = [{ in: 'body', pointer: '#/name', detail: 'is missing' }];
  answering(json({ title: 'Invalid', detail: 'the body has mistakes', errors }, 422, { 'content-type': 'application/problem+json' }));
  await assert.rejects(api.get('/v1/vpcs'), (problem) => {
    assert.ok(problem instanceof Problem);
    const { status, title, detail } = problem;
    assert.deepEqual({ status, title, detail, errors: problem.errors }, { status: 422, title: 'Invalid', detail: 'the body has mistakes', errors });
    return true;
  });
  answering(new Response('<html>', { status: 502, statusText: 'Bad Gateway', headers: { 'content-type': 'text/html' } }));
  await assert.rejects(api.get('/v1/vpcs'), { status: 502, title: 'Bad Gateway' });
  answering(json({ title: 'Slow down' }, 429, { 'retry-after': '3' }));
  await assert.rejects(api.get('/v1/vpcs'), { status: 429, retryAfter: 3 });
});

test('a daemon that does not answer is status 0; a request that is given up is no error of it', async () => {
  answering(new TypeError('fetch failed'));
  await assert.rejects(api.get('/v1/vpcs'), { name: 'Problem', status: 0 });
  answering(new DOMException('given up', 'AbortError'));
  await assert.rejects(api.get('/v1/vpcs'), { name: 'AbortError' });
});

test('a refused token is told with the token that was used', async () => {
  const refused = [];
  configure({ token: () => 'old', onRefused: (problem, used) => refused.push([problem.status, used]) });
  answering(json({ title: 'Unauthorized' }, 401), json({ title: 'Forbidden' }, 403));
  await assert.rejects(api.get('/v1/vpcs'), { status: 401 });
  await assert.rejects(api.get('/v1/vpcs'), { status: 403 });
  assert.deepEqual(refused, [[401, 'old']]);
});
