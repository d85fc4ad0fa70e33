import assert from 'node:assert/strict';
import test from 'node:test';
import { parser } from '../../../api/web/core/sse.js';

const TEXT = 'retry: 2000\n\n: keep-alive\n\nid: 41\ndata: {"kind":"a"}\n\nid: 42\ndata: one\ndata:two\n\n';
const MESSAGES = [
  { id: '41', event: 'message', data: '{"kind":"a"}' },
  { id: '42', event: 'message', data: 'one\ntwo' },
];

test('messages come out whole wherever the text is cut', () => {
  for (const text of [TEXT, TEXT.replaceAll('\n', '\r\n')]) {
    for (let cut = 0; cut <= text.length; cut += 1) {
      const feed = parser();
      assert.deepEqual([...feed(text.slice(0, cut)), ...feed(text.slice(cut))], MESSAGES, `cut at ${cut}`);
    }
  }
});

test('a message that has not ended waits', () => {
  const feed = parser();
  assert.deepEqual(feed('data: half'), []);
  assert.deepEqual(feed('\n'), []);
  assert.deepEqual(feed('\n'), [{ id: null, event: 'message', data: 'half' }]);
});
