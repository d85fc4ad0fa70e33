import assert from 'node:assert/strict';
import test from 'node:test';
import { attention, connectionState, detection, layers, mismatch, trouble } from '../../../api/web/core/tunnels.js';

const IPSEC = { status: 'ipsec_sa_established', reason: 'both SAs are established', last_error: null };
const BFD = { method: 'bfd', in_force: true, worst_case_ms: 150, state: 'up', reason: 'the peer answers' };
const HOLD = { method: 'hold_time', in_force: true, worst_case_ms: 30_000, state: 'up', reason: 'the hold time' };
const LINK = { method: 'link', in_force: true, worst_case_ms: 1000, state: 'up', reason: 'the kernel tells' };
const tunnel = (number, change = {}) => ({
  id: `conn1-tunnel${number}`, tunnel: number, role: number === 1 ? 'active' : 'standby', link_up: true, interface: 't1', state: 'live',
  state_reason: 'the session is established and in sync', session_state: 'established', carrying: number === 1, health: null,
  flapping: false, ipsec: IPSEC, detection: [BFD, HOLD, LINK], bfd: { state: 'up' }, remote_address: '198.51.100.2', ...change,
});
const connection = (change = {}, first = {}, second = {}) => ({
  name: 'conn1', mode: 'auto', carrying: 'conn1-tunnel1', status_reason: null, last_switchover_reason: null,
  tunnels: [tunnel(1, first), tunnel(2, second)], ...change,
});
const found = (one) => layers(one).map(({ name, kind, word }) => `${name} ${kind} ${word}`);

test('the layers of a tunnel say which of them is not there', () => {
  assert.deepEqual(found(tunnel(1)), ['IKE good up', 'IPsec good up', 'BGP good up', 'BFD good up']);
  const status = (name) => found(tunnel(1, { ipsec: { ...IPSEC, status: name }, session_state: 'connect', detection: [LINK] }));
  assert.deepEqual(status('ike_sa_not_established'), ['IKE bad down', 'IPsec off waits for IKE', 'BGP warn connect']);
  assert.deepEqual(status('ike_sa_established'), ['IKE good up', 'IPsec warn waits', 'BGP warn connect']);
  assert.deepEqual(status('ipsec_sa_not_established'), ['IKE good up', 'IPsec bad down', 'BGP warn connect']);
});

test('what a tunnel does not have is said, and not held against it', () => {
  assert.deepEqual(found(tunnel(1, { ipsec: null, session_state: null, detection: [LINK] })), ['IPsec off external', 'BGP off not used']);
});

test('the verdict of BFD is that of the detection, which is there before its counters', () => {
  const down = tunnel(1, { state: 'down', link_up: false, detection: [{ ...BFD, state: 'down' }, LINK] });
  assert.deepEqual(found(down), ['Link bad down', 'IKE good up', 'IPsec good up', 'BGP good up', 'BFD bad down']);
});

test('detection names the fastest that is in force, and the link only as what it is', () => {
  assert.deepEqual(detection(tunnel(1)), { method: 'bfd', ms: 150, text: 'Death noticed by BFD within 150 ms' });
  assert.equal(detection(tunnel(1, { detection: [{ ...BFD, in_force: false }, HOLD, LINK] })).text, 'Death noticed by BGP hold time within 30 s');
  assert.equal(detection(tunnel(1, { detection: [{ ...BFD, in_force: false }, LINK] })).ms, null);
});

test('trouble is the cause, with both values where two do not match', () => {
  const error = { text: 'no proposal chosen', local: 'aes256', remote: 'aes128', cause: 'proposal' };
  const down = { state: 'down', state_reason: 'no IPsec SA' };
  assert.equal(trouble(tunnel(1)), null);
  assert.equal(trouble(tunnel(1, down)), 'no IPsec SA');
  const ipsec = { ...IPSEC, status: 'ike_sa_not_established', last_error: error };
  assert.equal(trouble(tunnel(1, { ...down, ipsec })), 'no proposal chosen (here: aes256, there: aes128)');
  assert.equal(trouble(tunnel(1, { ...down, ipsec: { ...IPSEC, last_error: error } })), 'no IPsec SA', 'an old error is no cause');
  assert.equal(mismatch({ text: 'wrong key', local: null, remote: null }), 'wrong key');
});

test('a connection is as good as its traffic and its spare tunnel', () => {
  const down = { state: 'down', carrying: false };
  const states = {
    up: connection(),
    'not redundant': connection({}, {}, down),
    'no traffic': connection({ carrying: null }, down, down),
    'held on standby': connection({ mode: 'standby', carrying: 'conn1-tunnel2' }),
    'on standby': connection({ carrying: 'conn1-tunnel2' }),
    'not running yet': connection({ tunnels: [], carrying: null }),
  };
  for (const [word, one] of Object.entries(states)) assert.equal(connectionState(one).word, word);
});

test('attention has the worst first and is silent while all is well', () => {
  assert.deepEqual(attention([connection()]), []);
  const down = { state: 'down', carrying: false, state_reason: 'BFD is down' };
  const ids = attention([connection({ mode: 'active' }, {}, { flapping: true }), connection({ name: 'conn2', carrying: null }, down, down)]);
  assert.deepEqual(ids.map(({ id, kind }) => `${kind} ${id}`), [
    'bad conn2', 'bad conn1-tunnel1', 'bad conn1-tunnel2', 'warn conn1-tunnel2', 'warn conn1',
  ]);
});
