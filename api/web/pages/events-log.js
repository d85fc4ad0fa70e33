// The events that fit a filter: the newest, older ones on demand, new ones as they happen.
import { useEffect, useState } from '../core/html.js';
import { api } from '../core/http.js';
import { useLive } from '../core/live.js';
import { GROUPS, PERIODS, SEVERITIES } from './events-kinds.js';

const PAGE = 200;

/** Query of the page (strings) to that of the API; `now` in ms. */
function toQuery({ subject, group, severity, period, since, until }, now) {
  const seconds = PERIODS[period]?.[1];
  return {
    subject: subject && subjects(subject),
    kind: GROUPS[group]?.[1],
    severity: SEVERITIES[severity]?.[1],
    since: seconds ? new Date(now - seconds * 1000).toISOString() : since,
    until: seconds ? undefined : until,
  };
}

/** A connection stands for its tunnels too; with a tunnel comes what its connection does: where traffic went. */
function subjects(name) {
  const tunnel = /^(.+)-tunnel[12]$/.exec(name);
  return tunnel ? [name, tunnel[1]] : [name, `${name}-tunnel1`, `${name}-tunnel2`];
}

const load = async (filter, more, signal) => {
  const query = { ...toQuery(filter, Date.now()), order: 'newest', limit: PAGE, ...more };
  return (await api.get('/v1/events', query, { signal })).data;
};

/** Two lists newest first as one; of what both have the first's. */
function merged(fresh, known) {
  const there = new Set(fresh.map((event) => event.id));
  return [...fresh, ...known.filter((event) => !there.has(event.id))].sort((a, b) => b.id - a.id);
}

/**
 * {live, events, more, loadMore, busy}: `events` newest first; `more`: there are older ones.
 * What was shown stays when new ones come, unless so many came that there would be a hole between.
 */
export function useEvents(filter) {
  const key = JSON.stringify(filter);
  const live = useLive((signal) => load(filter, {}, signal), { key });
  const [known, setKnown] = useState({ key, events: [], cursor: null });
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (!live.data) return;
    setKnown((was) => taken(was.key === key ? was : { key, events: [], cursor: null }, live.data));
  }, [live.data, key]);
  const loadMore = async () => {
    setBusy(true);
    try {
      const { items, next_cursor: cursor } = await load(filter, { cursor: known.cursor });
      setKnown((was) => (was.key === key ? { key, events: merged(was.events, items), cursor } : was));
    } finally {
      setBusy(false);
    }
  };
  const shown = known.key === key ? known : { events: [], cursor: null };
  return { live, events: shown.events, more: shown.cursor !== null, loadMore, busy };
}

function taken(was, { items, next_cursor: cursor }) {
  const newest = was.events[0]?.id;
  const hole = newest === undefined || (cursor !== null && items.at(-1).id > newest);
  if (hole) return { ...was, events: items, cursor };
  return { ...was, events: merged(items, was.events) };
}
