import assert from 'node:assert/strict';
import test from 'node:test';
import { createJob, SLOW } from '../../../api/web/core/job.js';

/** A clock that is moved by hand, in the place of the real one. */
function clock(t) {
  const kept = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, now: performance.now };
  let at = 0;
  let next = 1;
  const due = new Map();
  globalThis.setTimeout = (call, ms) => { due.set(next, [at + ms, call]); return next++; };
  globalThis.clearTimeout = (id) => due.delete(id);
  performance.now = () => at;
  t.after(() => { Object.assign(globalThis, { setTimeout: kept.setTimeout, clearTimeout: kept.clearTimeout }); performance.now = kept.now; });
  /** Lets `ms` pass; promises that are ready have their turn at each step. */
  return async function pass(ms) {
    const until = at + ms;
    for (;;) {
      for (let i = 0; i < 8; i += 1) await null;
      const first = [...due].sort(([, [a]], [, [b]]) => a - b)[0];
      if (!first || first[1][0] > until) break;
      due.delete(first[0]);
      [at] = first[1];
      first[1][1]();
    }
    at = until;
  };
}

function counting(answer = () => 'data') {
  const made = { loads: 0, shown: [] };
  made.job = createJob(async () => { made.loads += 1; return answer(made.loads); }, (change) => made.shown.push(change));
  return made;
}

test('reasons that come together are one load, within a tenth of a second', async (t) => {
  const pass = clock(t);
  const made = counting();
  made.job.now();
  await pass(10_000);
  for (let i = 0; i < 5; i += 1) made.job.soon();
  await pass(99);
  assert.equal(made.loads, 1);
  await pass(2);
  assert.equal(made.loads, 2);
  await pass(10_000);
  assert.equal(made.loads, 2);
});

test('what the daemon hears late is looked at once more', async (t) => {
  const pass = clock(t);
  const made = counting();
  made.job.twice();
  await pass(1000);
  assert.equal(made.loads, 1);
  await pass(2000);
  assert.equal(made.loads, 2);
});

test('under a storm it loads twice a second, and at once again after it', async (t) => {
  const pass = clock(t);
  const made = counting();
  for (let i = 0; i < 1000; i += 1) { made.job.soon(); await pass(10); }
  assert.ok(made.loads >= 19 && made.loads <= 24, `${made.loads} loads in 10 s`);
  await pass(5000);
  const before = made.loads;
  made.job.soon();
  await pass(600);
  made.job.soon();
  await pass(5000);
  made.job.soon();
  await pass(101);
  assert.equal(made.loads, before + 3);
});

test('it waits as long as it is told when it asked too often, and tries again when nobody answered', async (t) => {
  const pass = clock(t);
  const made = counting((n) => {
    if (n === 1) throw Object.assign(new Error('too many'), { status: 429, retryAfter: 3 });
    if (n === 2) throw Object.assign(new Error('away'), { status: 0 });
    if (n === 3) throw Object.assign(new Error('gone'), { status: 404 });
    return 'data';
  });
  made.job.now();
  await pass(2999);
  assert.equal(made.loads, 1);
  await pass(2);
  assert.equal(made.loads, 2);
  await pass(60_000);
  assert.equal(made.loads, 3);
  assert.deepEqual(made.shown.at(-1).error.status, 404);
});

test('one load at a time, and nothing is shown after the end', async (t) => {
  const pass = clock(t);
  const answers = [];
  const made = counting(() => new Promise((done) => answers.push(done)));
  made.job.now();
  made.job.soon();
  await pass(5000);
  assert.equal(made.loads, 1);
  answers[0]('a');
  await pass(5000);
  assert.equal(made.loads, 2);
  made.job.end();
  answers[1]('b');
  made.job.soon();
  await pass(5000);
  assert.deepEqual(made.shown.map(({ data }) => data).filter(Boolean), ['a']);
  assert.equal(made.loads, 2);
});

test('a load that nobody answers is given up, and tried again', async (t) => {
  const pass = clock(t);
  const signals = [];
  const made = { loads: 0, shown: [] };
  made.job = createJob((signal) => { signals.push(signal); return new Promise(() => {}); }, (change) => made.shown.push(change));
  made.job.now();
  await pass(19_999);
  assert.equal(signals.length, 1);
  await pass(2);
  assert.ok(signals[0].aborted);
  assert.equal(made.shown.at(-1).error.status, 0);
  // A page says so: a daemon that is slow still sends its events, and looks alive.
  assert.equal(made.shown.at(-1).error.type, SLOW);
  await pass(2000);
  assert.equal(signals.length, 2);
});

test('what was asked before the stream broke is asked again', async (t) => {
  const pass = clock(t);
  const answers = [];
  const made = counting(() => new Promise((done) => answers.push(done)));
  made.job.now();
  await pass(1000);
  made.job.afresh();
  await pass(500);
  assert.equal(made.loads, 2);
  answers[0]('old');
  answers[1]('new');
  await pass(0);
  assert.deepEqual(made.shown.map(({ data, error }) => data ?? error).filter(Boolean), ['new']);
});
