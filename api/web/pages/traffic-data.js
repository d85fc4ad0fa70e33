// Histories of a connection's tunnels as charts, summary and table need them. Pure.

/** Windows of the API to their names, and how often (ms) they are loaded again. */
export const WINDOWS = { '15m': ['15 minutes', 5000], '1h': ['1 hour', 20_000], '24h': ['24 hours', 60_000] };
/** What a rate counts: columns, factor to what is shown, and its unit. */
export const UNITS = {
  bits: { label: 'Bits', columns: ['bytes_in', 'bytes_out'], factor: 8, unit: 'bit/s' },
  packets: { label: 'Packets', columns: ['packets_in', 'packets_out'], factor: 1, unit: 'packets/s' },
};

const SI = ['', 'k', 'M', 'G', 'T', 'P'];

/** 1250000 to `1.25 M`; null to a dash. */
export function short(value) {
  if (value === null || value === undefined) return '–';
  let power = 0;
  let rest = value;
  while (Math.abs(rest) >= 999.5 && power < SI.length - 1) {
    rest /= 1000;
    power += 1;
  }
  return `${Number(rest.toPrecision(3))}${power ? ` ${SI[power]}` : ''}`;
}

/** When the intervals of a history began, in seconds since 1970. */
export function times({ start, interval, bytes_in: column }) {
  const first = Date.parse(start) / 1000;
  return column.map((_, i) => first + i * interval);
}

/** A column with its factor; what is not known stays null. */
export const scaled = (column, factor) => (factor === 1 ? column : column.map((value) => (value === null ? null : value * factor)));

const known = (column) => column.filter((value) => value !== null);
const highest = (column) => known(column).reduce((a, b) => (a === null || b > a ? b : a), null);
const latest = (column) => column.findLast((value) => value !== null) ?? null;

/** {now, most} of a column. */
export const extent = (column) => ({ now: latest(column), most: highest(column) });

/** Bytes that passed in the intervals that are known. */
export const total = (column, interval) => known(column).reduce((sum, value) => sum + value * interval, 0);

/**
 * Stretches in which not the active tunnel carried traffic: [{from, to, what}], seconds; `what`: standby or none.
 * `histories`: of the active tunnel and of the standby.
 */
export function stretches(histories) {
  const [active, standby] = histories;
  const at = times(active);
  const found = [];
  for (const [i, share] of active.carrying.entries()) {
    const other = standby?.carrying[i] ?? null;
    const what = share === null || share >= 0.5 ? null : other >= 0.5 ? 'standby' : other === null ? null : 'none';
    const last = found.at(-1);
    if (what && last?.what === what && last.to === at[i]) last.to = at[i] + active.interval;
    else if (what) found.push({ from: at[i], to: at[i] + active.interval, what });
  }
  return found;
}

/** One row an interval, the newest first: {at, tunnels: [{in, out, carrying, up, received, accepted, advertised}]}. */
export function rows(histories, { columns: [into, out], factor }) {
  const made = times(histories[0]).map((at, i) => ({
    at,
    tunnels: histories.map((one) => ({
      in: scaled([one[into][i]], factor)[0],
      out: scaled([one[out][i]], factor)[0],
      carrying: one.carrying[i],
      up: one.session_up[i],
      received: one.prefixes_received[i],
      accepted: one.prefixes_accepted[i],
      advertised: one.prefixes_advertised[i],
    })),
  }));
  return made.reverse();
}

const COLUMNS = ['bytes_in', 'bytes_out', 'packets_in', 'packets_out', 'carrying', 'session_up', 'prefixes_received', 'prefixes_accepted', 'prefixes_advertised'];

/** All columns of all tunnels as CSV, oldest first (RFC 4180). */
export function csv(histories) {
  const head = ['time', ...histories.flatMap((one) => COLUMNS.map((name) => `${one.tunnel} ${name}`))];
  const lines = times(histories[0]).map((at, i) => [
    new Date(at * 1000).toISOString(), ...histories.flatMap((one) => COLUMNS.map((name) => one[name][i] ?? '')),
  ]);
  return [head.map((text) => `"${text.replaceAll('"', '""')}"`), ...lines].map((cells) => cells.join(',')).join('\r\n');
}

/** Share of an interval as a word. */
export function share(value) {
  if (value === null) return '–';
  return value === 1 ? 'yes' : value === 0 ? 'no' : `${Math.round(value * 100)} %`;
}

/** What a chart shows, for who does not see it. `lines`: [{label, column}]. */
export function inWords(title, unit, lines) {
  const parts = lines.map(({ label, column }) => {
    const { now, most } = extent(column);
    return now === null ? `${label}: not known` : `${label}: now ${short(now)}, at most ${short(most)}`;
  });
  return `${title}${unit ? ` in ${unit}` : ''}. ${parts.join('. ')}. The figures are in the table below.`;
}

