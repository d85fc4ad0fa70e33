// A chart over time (uPlot): lines that are told apart by colour and dashes, moments marked, stretches shaded.
import uPlot from '../vendor/uplot.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from '../core/html.js';
import { useStore } from '../core/store.js';
import { theme } from '../core/theme.js';
import { inWords, short } from './traffic-data.js';

const HEIGHT = 200;
const DASHES = [[], [6, 4]];
const COLOURS = ['--accent', '--warn'];
const SHADES = { standby: '--warn-ground', none: '--bad-ground' };
const system = matchMedia('(prefers-color-scheme: dark)');

let sheet = null;

/** Has the library's own style sheet; one that could not be fetched is fetched with the next chart. */
function dress() {
  if (sheet) return;
  sheet = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: new URL('../vendor/uplot.css', import.meta.url).href });
  sheet.onerror = () => { sheet.remove(); sheet = null; };
  document.head.append(sheet);
}
dress();

/** Colours as the page has them now: the canvas cannot ask the style sheet. */
function colours() {
  const probe = document.body.appendChild(document.createElement('span'));
  const found = {};
  for (const name of ['--text', '--muted', '--line', '--bad', ...COLOURS, ...Object.values(SHADES)]) {
    probe.style.color = `var(${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}

/** Changes when the colours do. */
function useScheme() {
  const chosen = useStore(theme);
  const [dark, setDark] = useState(system.matches);
  useEffect(() => {
    const changed = () => setDark(system.matches);
    system.addEventListener('change', changed);
    return () => system.removeEventListener('change', changed);
  }, []);
  return `${chosen} ${dark}`;
}

const two = (n) => String(n).padStart(2, '0');

function hour(seconds, step) {
  const at = new Date(seconds * 1000);
  const text = `${two(at.getHours())}:${two(at.getMinutes())}`;
  return step < 60 ? `${text}:${two(at.getSeconds())}` : text;
}

/** Behind the lines: who else carried traffic. */
function shade(chart, stretches, paint) {
  const { ctx, bbox } = chart;
  for (const { from, to, what } of stretches) {
    const left = Math.max(chart.valToPos(from, 'x', true), bbox.left);
    const right = Math.min(chart.valToPos(to, 'x', true), bbox.left + bbox.width);
    ctx.fillStyle = paint[SHADES[what]];
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
}

/** Where moments are, in pixels of the canvas: [{x, bad}]. */
function* places(chart, moments) {
  const { left, width } = chart.bbox;
  for (const { at, bad } of moments) {
    const x = Math.round(chart.valToPos(at, 'x', true));
    if (x >= left && x <= left + width) yield { x, bad };
  }
}

/** Behind the lines: a stroke for each moment. */
function strike(chart, moments, paint) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 2 * devicePixelRatio]);
  for (const { x, bad } of places(chart, moments)) {
    ctx.strokeStyle = bad ? paint['--bad'] : paint['--muted'];
    ctx.beginPath();
    ctx.moveTo(x + 0.5, bbox.top);
    ctx.lineTo(x + 0.5, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

/** Above the lines: a triangle for each moment. */
function point(chart, moments, paint) {
  const { ctx, bbox } = chart;
  const unit = devicePixelRatio;
  for (const { x, bad } of places(chart, moments)) {
    ctx.fillStyle = bad ? paint['--bad'] : paint['--text'];
    ctx.beginPath();
    ctx.moveTo(x - 4 * unit, bbox.top);
    ctx.lineTo(x + 4 * unit, bbox.top);
    ctx.lineTo(x, bbox.top + 6 * unit);
    ctx.fill();
  }
}

const WHOLE = [1, 2, 5].flatMap((n) => [...Array(9).keys()].map((power) => n * 10 ** power)).sort((a, b) => a - b);

/** `shown.current`: {lines, stretches, moments, whole}; what is drawn follows it without a new chart. */
function options({ shown, width, onPoint }) {
  const paint = colours();
  const { lines, whole } = shown.current;
  const axis = { stroke: paint['--muted'], grid: { stroke: paint['--line'], width: 1 }, ticks: { stroke: paint['--line'], width: 1 }, font: '12px system-ui, sans-serif' };
  return {
    width,
    height: HEIGHT,
    padding: [8, 12, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, sync: { key: 'traffic', scales: ['x', null] }, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, size: 32, space: 64, values: (_, splits, __, ___, step) => splits.map((at) => hour(at, step)) },
      { ...axis, size: 56, ...(whole ? { incrs: WHOLE } : {}), values: (_, splits) => splits.map(short) },
    ],
    series: [{}, ...lines.map(({ label, style }) => ({
      label, stroke: paint[COLOURS[style]], width: 2, dash: DASHES[style], points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }),
    }))],
    hooks: {
      drawClear: [(chart) => shade(chart, shown.current.stretches, paint), (chart) => strike(chart, shown.current.moments, paint)],
      draw: [(chart) => point(chart, shown.current.moments, paint)],
      setCursor: [(chart) => onPoint(chart.cursor.idx ?? null)],
    },
  };
}

/**
 * `lines`: [{label, column, style: 0|1}]; `at`: seconds of the x axis; `unit` behind values; `whole`: values are
 * counts; `stretches` and `moments` as in traffic-data.js and traffic.js.
 */
export function Chart({ title, unit, at, lines, stretches, moments, whole = false }) {
  const box = useRef();
  const chart = useRef(null);
  const [pointed, setPointed] = useState(null);
  const scheme = useScheme();
  const shown = useRef();
  shown.current = { lines, stretches, moments, whole };
  // An interval reaches to the next one's begin: the last one too.
  const closed = (column, end) => [...column, end];
  const data = [closed(at, 2 * at.at(-1) - at.at(-2)), ...lines.map(({ column }) => closed(column, column.at(-1)))];
  const latest = useRef();
  latest.current = data;
  const kind = lines.map((line) => line.label).join();
  useLayoutEffect(() => {
    dress();
    chart.current = new uPlot(options({ shown, width: box.current.clientWidth, onPoint: setPointed }), latest.current, box.current);
    const resized = new ResizeObserver(() => chart.current?.setSize({ width: box.current.clientWidth, height: HEIGHT }));
    resized.observe(box.current);
    return () => { resized.disconnect(); chart.current.destroy(); chart.current = null; };
  }, [scheme, kind, whole]);
  useLayoutEffect(() => chart.current.setData(latest.current), [at, stretches, moments, ...lines.map((line) => line.column)]);
  return html`<figure class="chart">
    <figcaption><h2>${title}${unit && html` <span class="muted">${unit}</span>`}</h2>
      <${Legend} lines=${lines} at=${at} i=${Math.min(pointed ?? Infinity, at.length - 1)} /></figcaption>
    <div class="chart-box" ref=${box} role="img" aria-label=${inWords(title, unit, lines)}></div>
  </figure>`;
}

/** The lines with their values under the pointer, else their latest. */
const Legend = ({ lines, at, i }) => html`<ul class="legend">
    ${lines.map(({ label, column, style }) => html`<li key=${label}>
      <svg width="24" height="8" aria-hidden="true" class=${`legend-line legend-${style}`}><path d="M0 4h24" /></svg>
      ${label} <strong>${short(column[i] ?? null)}</strong>
    </li>`)}
    <li class="muted">${hour(at[i], 1)}</li>
  </ul>`;
