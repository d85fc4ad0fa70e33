import assert from 'node:assert/strict';
import test from 'node:test';
import { link, match, parse } from '../../../api/web/core/router.js';

test('a link reads back as it was made', () => {
  const href = link('/routes/:gateway/:prefix', { asn: 65500, community: ['65500:1', 'a&b=c#d'], state: '', session: null }, {
    gateway: 'gw 1/ä', prefix: '192.168.0.0/16',
  });
  const route = parse(href);
  assert.deepEqual(match('/routes/:gateway/:prefix', route.segments), { gateway: 'gw 1/ä', prefix: '192.168.0.0/16' });
  assert.deepEqual({ ...route.query }, { asn: '65500', community: ['65500:1', 'a&b=c#d'] });
});

test('the start page has many spellings', () => {
  for (const hash of ['', '#', '#/', '/', '#/?x=1']) assert.deepEqual(match('/', parse(hash).segments), {}, hash);
});

test('what does not fit does not match', () => {
  assert.equal(match('/tunnels/:id', ['tunnels']), null);
  assert.equal(match('/tunnels/:id', ['tunnels', 'a', 'b']), null);
  assert.equal(match('/tunnels/:id', ['sessions', 'a']), null);
});

test('a stray percent sign is no end of the page', () => {
  assert.deepEqual(parse('#/tunnels/50%').segments, ['tunnels', '50%']);
});

test('a query may have names that objects have', () => {
  for (const name of ['constructor', '__proto__', 'toString']) {
    const { query } = parse(`#/routes?${name}=x&${name}=y&asn=1`);
    assert.deepEqual(Object.entries(query), [[name, ['x', 'y']], ['asn', '1']]);
    assert.equal(Object.getPrototypeOf(query), null);
  }
});
