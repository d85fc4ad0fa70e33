// Numbers and times as people read them. Pure: `now` is an argument (milliseconds).

const UNITS = ['', 'k', 'M', 'G', 'T', 'P'];

function scaled(value, step, unit) {
  let power = 0;
  let rest = value;
  // 999.6 would be shown as 1000: what rounds up belongs to the next unit.
  while (Math.abs(rest) >= step - 0.5 && power < UNITS.length - 1) {
    rest /= step;
    power += 1;
  }
  const digits = power === 0 || Math.abs(rest) >= 99.95 ? 0 : Math.abs(rest) >= 9.995 ? 1 : 2;
  return `${rest.toFixed(digits)} ${UNITS[power]}${unit}`.trim();
}

/** 1536 to `1.54 kB` (decimal units). null: a dash. */
export const bytes = (value) => (value === null || value === undefined ? '–' : scaled(value, 1000, 'B'));

/** Bytes a second to bits a second: `8.00 Mbit/s`. */
export const rate = (value) => (value === null || value === undefined ? '–' : scaled(value * 8, 1000, 'bit/s'));

/** 1234567 to `1,234,567`. */
export const count = (value) => (value === null || value === undefined ? '–' : value.toLocaleString('en'));

/** Milliseconds to `150 ms`, `1.5 s`, `2 min 3 s`, `3 h 4 min`, `5 d 6 h`. */
export function duration(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s < 10 ? Number(s.toFixed(1)) : Math.floor(s)} s`;
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = parts.findIndex(([size]) => s >= size);
  const [[size, unit], [less, small]] = parts.slice(first, first + 2);
  const rest = Math.floor((s % size) / less);
  return `${Math.floor(s / size)} ${unit}${rest ? ` ${rest} ${small}` : ''}`;
}

/** How long ago a time (RFC 3339) was: `12 s`, `3 h 4 min`; `now` if it is in the future. */
export function since(time, now) {
  if (!time) return '–';
  const ms = now - Date.parse(time);
  return ms < 1000 ? 'now' : duration(Math.floor(ms / 1000) * 1000);
}

/** A time (RFC 3339) in the zone of the browser, as `2025-10-09 10:41:07`; `ms` adds `.120`. */
export function time(value, { ms = false } = {}) {
  if (!value) return '–';
  const at = new Date(value);
  const two = (n) => String(n).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':');
  return `${day} ${clock}${ms ? `.${String(at.getMilliseconds()).padStart(3, '0')}` : ''}`;
}

/** The time of day only, as `10:41:07.120`. */
export const clock = (value, options) => (value ? time(value, options).slice(11) : '–');

/** `ipsec_sa_established` to `ipsec sa established`; AS numbers and codes stay as they are. */
export const words = (value) => (value === null || value === undefined ? '–' : String(value).replaceAll('_', ' '));

/** plural(1, 'prefix', 'prefixes') to `1 prefix`. */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
