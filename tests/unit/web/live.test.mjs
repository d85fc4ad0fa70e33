import assert from 'node:assert/strict';
import test from 'node:test';

// The pauses between attempts, fifty times as short.
const wait = setTimeout;
globalThis.setTimeout = (call, ms) => wait(call, ms / 50);
globalThis.location = { href: 'http://127.0.0.1/' };
const { follow, stop, stream, subscribe } = await import('../../../api/web/core/live.js');

/** Answers with streams of the given texts, in turn; each ends when its text is through. */
function streaming(...texts) {
  const asked = [];
  globalThis.fetch = async (url, { headers, signal }) => {
    asked.push(headers);
    const text = texts.shift();
    if (text === undefined) return new Promise((_, fail) => signal.addEventListener('abort', () => fail(new DOMException('end', 'AbortError'))));
    if (text instanceof Error) throw text;
    return new Response(text, { headers: { 'content-type': 'text/event-stream' } });
  };
  return asked;
}

const heard = (count) => new Promise((done) => {
  const events = [];
  const off = subscribe((event) => {
    events.push(event);
    if (events.length === count) { off(); done(events); }
  });
});

const event = (id, kind) => `id: ${id}\ndata: ${JSON.stringify({ id, kind })}\n\n`;

test('a stream that ends is resumed behind the last event, and everything is looked at again', async () => {
  const states = [];
  const off = stream.subscribe(({ connected }) => states.push(connected));
  const asked = streaming(event(41, 'tunnel.down') + event(42, 'connection.switchover'), new TypeError('refused'), event(43, 'tunnel.live'));
  const events = heard(5);
  follow();
  assert.deepEqual(await events, [
    null, { id: 41, kind: 'tunnel.down' }, { id: 42, kind: 'connection.switchover' }, null, { id: 43, kind: 'tunnel.live' },
  ]);
  assert.deepEqual(asked.map((headers) => headers['Last-Event-ID']), [undefined, '42', '42']);
  assert.deepEqual(states.filter((one) => one !== null), [true, false, true]);
  stop();
  off();
  assert.equal(stream.get().connected, null);
});

test('another caller does not resume the stream of the one before', async () => {
  const asked = streaming(event(7, 'a'));
  const events = heard(2);
  follow();
  await events;
  follow();
  assert.equal(asked.at(-1)['Last-Event-ID'], undefined);
  stop();
});
