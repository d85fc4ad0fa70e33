import assert from 'node:assert/strict';
import test from 'node:test';
import { bytes, clock, count, duration, plural, rate, since, time, words } from '../../../api/web/core/format.js';

const table = (name, call, rows) => test(name, () => {
  for (const [given, expected] of rows) assert.equal(call(given), expected, JSON.stringify(given));
});

table('bytes in decimal units, three digits', bytes, [
  [0, '0 B'], [999, '999 B'], [1000, '1.00 kB'], [1536, '1.54 kB'], [99_949, '99.9 kB'], [99_950, '100 kB'],
  [999_499, '999 kB'], [999_600, '1.00 MB'], [1.5e9, '1.50 GB'], [2e15, '2.00 PB'], [3e18, '3000 PB'], [null, '–'],
]);
table('rates are bits of bytes', rate, [[0, '0 bit/s'], [125, '1.00 kbit/s'], [1e6, '8.00 Mbit/s'], [undefined, '–']]);
table('counts have separators', count, [[0, '0'], [1234567, '1,234,567'], [null, '–']]);
table('durations name two units', duration, [
  [0, '0 ms'], [149.6, '150 ms'], [999, '999 ms'], [1000, '1 s'], [1500, '1.5 s'], [59_999, '59 s'], [60_000, '1 min'],
  [123_000, '2 min 3 s'], [3_600_000, '1 h'], [3_600_000 + 59_000, '1 h'], [11_040_000, '3 h 4 min'], [90_000_000, '1 d 1 h'], [null, '–'],
]);
table('words', words, [['ipsec_sa_established', 'ipsec sa established'], [null, '–'], [0, '0']]);

test('ages count from the time that is given', () => {
  const at = Date.parse('2025-10-09T08:41:07.120Z');
  assert.equal(since('2025-10-09T08:41:07.120Z', at + 12_900), '12 s');
  assert.equal(since('2025-10-09T08:41:07.120Z', at - 5000), 'now');
  assert.equal(since(null, at), '–');
});

test('times are of the reader\'s zone and keep their milliseconds when asked', () => {
  const local = new Date(2025, 0, 2, 3, 4, 5, 67).toISOString();
  assert.equal(time(local), '2025-01-02 03:04:05');
  assert.equal(time(local, { ms: true }), '2025-01-02 03:04:05.067');
  assert.equal(clock(local, { ms: true }), '03:04:05.067');
  assert.equal(time(null), '–');
});

test('plurals', () => {
  assert.equal(plural(1, 'prefix', 'prefixes'), '1 prefix');
  assert.equal(plural(0, 'route'), '0 routes');
  assert.equal(plural(1000, 'route'), '1,000 routes');
});
