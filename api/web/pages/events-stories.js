// Events of one moment and one connection, read as one story: what happened to traffic, why, and how long it
// needed. Pure.
import { duration } from '../core/format.js';

/** Events of a connection with no more than this between them (ms) are one moment. */
const MOMENT = 2000;
/** What a dead tunnel still causes, as the end of its session's hold time, belongs to its death so long (ms). */
const AFTERMATH = 200_000;
const CAUSED = new Set(['session.down', 'session.error', 'ipsec.down', 'ipsec.error', 'tunnel.unhealthy']);
const FAILS = new Set(['bfd.down', 'probe.down', 'tunnel.down', 'ipsec.down']);
const MOVES = new Set(['connection.switchover', 'connection.failback', 'connection.no_live_tunnel']);
const WORST = { info: 0, warning: 1, error: 2 };
const METHODS = { bfd: 'BFD', probe: 'the probe of the peer', link: 'the link' };

/** Subject of an event to {connection, tunnel}: both null for what concerns the daemon as a whole. */
export function about({ subject, kind }) {
  const found = /^(.+)-tunnel[12]$/.exec(subject);
  if (found) return { connection: found[1], tunnel: subject };
  return { connection: kind.startsWith('connection.') ? subject : null, tunnel: null };
}

/** `events` newest first to stories newest first; a story's own events are in the order of happening. */
export function stories(events) {
  const open = new Map();
  const found = [];
  for (const event of [...events].reverse()) {
    const { connection, tunnel } = about(event);
    const key = connection ?? '';
    const last = open.get(key);
    if (last && joins(last, event, tunnel)) {
      last.events.push(event);
      last.end = Date.parse(event.time);
    } else {
      const made = { id: event.id, connection, events: [event], begin: Date.parse(event.time), end: Date.parse(event.time) };
      open.set(key, made);
      found.push(made);
    }
  }
  return found.reverse();
}

function joins(story, event, tunnel) {
  if (event.kind === 'connection.operator_switch') return false;
  const at = Date.parse(event.time);
  const state = story.events.findLast((one) => one.subject === tunnel && /^tunnel\.(down|live)$/.test(one.kind))?.kind;
  // A tunnel that has come back and fails again does so in a story of its own, however soon that is.
  if (FAILS.has(event.kind) && state === 'tunnel.live') return false;
  return at - story.end <= MOMENT || (CAUSED.has(event.kind) && at - story.begin <= AFTERMATH && state === 'tunnel.down');
}

/**
 * {kind, title, why, gap, tunnel, operator}: texts of a story; all but kind and title may be null. `complete`: no
 * event of its moment is filtered out, so that what is not there did not happen.
 */
export function tell(story, complete = true) {
  const { events } = story;
  const moves = events.filter((event) => MOVES.has(event.kind));
  const operator = events.find((event) => event.kind === 'connection.operator_switch') ?? null;
  if (moves.length) return { ...moved(story, moves, operator), operator: operator?.message ?? null };
  const worst = events.reduce((a, b) => (WORST[b.severity] > WORST[a.severity] ? b : a), events.at(-1));
  const died = events.find((event) => event.kind === 'tunnel.down');
  const live = events.find((event) => event.kind === 'tunnel.live');
  if (died) {
    const back = events.some((event) => event.kind === 'tunnel.live' && event.subject === died.subject);
    const gap = complete ? 'Not at all: it took another tunnel, or none' : null;
    return { ...plain('warn', `${died.subject} ${back ? 'failed and is live again' : 'went down'}`), why: reason(died), gap, tunnel: died.subject };
  }
  if (live) return { ...plain('good', `${live.subject} is live`), why: live.message, tunnel: live.subject };
  const kind = { info: 'off', warning: 'warn', error: 'bad' }[worst.severity];
  if (operator) return { ...plain(kind, `${story.connection}: the operator's choice changed`), operator: operator.message };
  return plain(kind, `${worst.subject}: ${worst.message}`);
}

const plain = (kind, title) => ({ kind, title, why: null, gap: null, tunnel: null, operator: null });

function moved(story, moves, operator) {
  const last = moves.at(-1);
  const first = moves[0];
  const outage = moves.find((event) => event.kind === 'connection.no_live_tunnel');
  const deaths = story.events.filter((event) => event.kind === 'tunnel.down');
  const died = deaths.find((event) => event.subject === first.data.from) ?? (outage && deaths.at(-1)) ?? null;
  if (last.kind === 'connection.no_live_tunnel') {
    return { kind: 'bad', title: `${story.connection}: no tunnel is live`, why: reason(died ?? last), gap: 'Until a tunnel is live again', tunnel: died?.subject ?? null };
  }
  const cause = died ?? (operator ? null : last);
  return {
    kind: died || outage ? 'warn' : 'good',
    title: headline(story, first, last, outage),
    why: cause && reason(cause),
    gap: gap(story, last, outage, died),
    tunnel: died?.subject ?? (cause && last.data.to),
  };
}

function headline({ connection }, first, last, outage) {
  const { from, to } = last.data;
  if (outage || from === null) return `Traffic of ${connection} flows again, over ${to}`;
  if (first !== last && first.data.from === to) {
    return `Traffic left ${to} and came back after ${duration(Date.parse(last.time) - Date.parse(first.time))}`;
  }
  return last.kind === 'connection.failback' ? `Traffic returned to ${to}` : `Traffic moved from ${first.data.from ?? from} to ${to}`;
}

/** `conn1-tunnel1: BFD is down: …` says the tunnel twice: its name stands beside it. */
const reason = (event) => (event.data?.why ?? event.message).replace(/^[^ ]+-tunnel[12]: /, '');

/** How long traffic needed, as far as events can tell. */
function gap(story, last, outage, died) {
  if (outage) return `${duration(Date.parse(last.time) - Date.parse(outage.time))} without a live tunnel`;
  if (!died) return last.data.from === null ? null : 'Not at all: both tunnels were live';
  const noticed = story.events.find((event) => /^(bfd|probe)\.down$/.test(event.kind) && event.subject === died.subject);
  const guard = story.events.find((event) => event.kind === 'guard.switched' && event.subject === died.subject);
  const method = guard?.data.method ?? noticed?.kind.split('.')[0];
  const silent = noticed?.data.detection_ms;
  if (noticed?.message.startsWith('the peer says')) return 'As long as the peer heard nothing of us: it noticed first, and said so';
  if (silent) return `About ${duration(silent)}: so long nothing was heard (${METHODS[method] ?? method}); the move itself took no time that could be measured`;
  if (/hold timer/i.test(died.message)) return 'For the hold time of the BGP session: nothing faster was in force';
  if (method === 'link') return 'For a moment: the link said so at once';
  return null;
}
