// What the tunnels of a connection carried, and when traffic changed its tunnel.
import { html, useState } from '../core/html.js';
import { all, api, path, Problem } from '../core/http.js';
import { bytes, clock, time } from '../core/format.js';
import { link, navigate } from '../core/router.js';
import { useLive } from '../core/live.js';
import { Empty, Loaded, Page, Role, Status, Table } from '../ui/index.js';
import { Chart } from './traffic-chart.js';
import { extent, scaled, short, stretches, times, total, UNITS, WINDOWS } from './traffic-data.js';
import { Figures } from './traffic-table.js';

const MOVES = ['connection.switchover', 'connection.failback', 'connection.no_live_tunnel'];

const load = (signal) => all('/v1/vpn-connections', {}, { signal });

export default function Traffic({ query }) {
  const live = useLive(load, { kinds: ['connection.', 'tunnel.', 'config.'] });
  return html`<${Page} title="Traffic" lead="What came out of the tunnels and went into them, as their network interfaces count it.">
    <${Loaded} live=${live}>${(connections) => (connections.length === 0
      ? html`<${Empty} title="No connection yet"><p>There is traffic once a <a href="#/resources/vpn-connections">VPN connection</a> is there.</p><//>`
      : html`<${Chosen} connections=${connections} query=${query} />`)}<//>
  <//>`;
}

/** What the address asks for; a tunnel stands for its connection. */
function choice(connections, query) {
  const named = connections.find((one) => one.name === query.connection || one.tunnels.some((tunnel) => tunnel.id === query.tunnel));
  return {
    connection: named ?? (query.connection || query.tunnel ? null : connections[0]),
    window: Object.hasOwn(WINDOWS, query.window) ? query.window : '1h',
    unit: Object.hasOwn(UNITS, query.unit) ? query.unit : 'bits',
  };
}

function Chosen({ connections, query }) {
  const { connection, window, unit } = choice(connections, query);
  const go = (change) => navigate('/traffic', { connection: connection?.name, window, unit, ...change }, { replace: true });
  return html`
    <form class="traffic-choice" onSubmit=${(event) => event.preventDefault()}>
      <label>Connection <select value=${connection?.name ?? ''} onInput=${(event) => go({ connection: event.target.value })}>
        ${!connection && html`<option value="" selected>choose one</option>`}
        ${connections.map(({ name }) => html`<option key=${name} value=${name} selected=${name === connection?.name}>${name}</option>`)}
      </select></label>
      <${Choice} name="window" label="Window" value=${window} onChange=${(value) => go({ window: value })}
        options=${Object.entries(WINDOWS).map(([key, [label]]) => [key, label])} />
      <${Choice} name="unit" label="Counted in" value=${unit} onChange=${(value) => go({ unit: value })}
        options=${Object.entries(UNITS).map(([key, { label }]) => [key, label])} />
    </form>
    ${connection
      ? html`<${History} key=${connection.name} connection=${connection} window=${window} unit=${unit} />`
      : html`<${Empty} title="There is no such connection"><p>${query.connection ?? query.tunnel} may have gone. Choose another one.</p><//>`}`;
}

/** A few choices side by side. */
const Choice = ({ name, label, value, options, onChange }) => html`<fieldset class="segments"><legend>${label}</legend>
  ${options.map(([key, text]) => html`<label key=${key}><input type="radio" name=${name} value=${key} checked=${key === value}
    onInput=${() => onChange(key)} /><span>${text}</span></label>`)}
</fieldset>`;

async function loadHistory(tunnels, connection, window, signal) {
  const histories = await Promise.all(tunnels.map(async ({ id }) => (await api.get(path`/v1/tunnels/${id}/history`, { window }, { signal })).data));
  const events = histories.length === 0 ? [] : (await api.get('/v1/events', {
    subject: connection, kind: MOVES, since: histories[0].start, order: 'newest', limit: 500,
  }, { signal })).data.items;
  return { histories, events };
}

function History({ connection, window, unit }) {
  const tunnels = connection.tunnels;
  const ids = tunnels.map((tunnel) => tunnel.id).join();
  const live = useLive((signal) => loadHistory(tunnels, connection.name, window, signal), {
    key: `${window} ${ids}`, every: WINDOWS[window][1], kinds: ['connection.'],
  });
  if (tunnels.length === 0) {
    return html`<${Empty} title="No tunnels yet"><p>${connection.name} is on its way${connection.status_reason ? `: ${connection.status_reason}` : ''}.</p><//>`;
  }
  if (live.error instanceof Problem && live.error.status === 404) return html`<${Empty} title="The tunnels are gone" />`;
  return html`<${Loaded} live=${live}>${({ histories, events }) => html`
    <${Shown} connection=${connection} histories=${histories} events=${events} unit=${UNITS[unit]} window=${window} />`}<//>`;
}

function Shown({ connection, histories, events, unit, window }) {
  const at = times(histories[0]);
  const roles = connection.tunnels.map((tunnel) => tunnel.role);
  const moments = events.map((event) => ({ at: Date.parse(event.time) / 1000, bad: event.kind === 'connection.no_live_tunnel' }));
  const common = { at, moments, stretches: stretches(histories) };
  const lines = (column, factor = 1) => histories.map((one, i) => ({
    label: `${one.tunnel.replace(`${connection.name}-`, '')} (${roles[i]})`, column: scaled(one[column], factor), style: i,
  }));
  const [into, out] = unit.columns;
  return html`
    <${Summary} connection=${connection} histories=${histories} unit=${unit} window=${window} />
    <div class="charts">
      <${Chart} title="Received from the peer" unit=${unit.unit} lines=${lines(into, unit.factor)} ...${common} />
      <${Chart} title="Sent to the peer" unit=${unit.unit} lines=${lines(out, unit.factor)} ...${common} />
      <${Chart} title="Prefixes accepted" whole lines=${lines('prefixes_accepted')} ...${common} />
      <${Chart} title="Prefixes advertised" whole lines=${lines('prefixes_advertised')} ...${common} />
    </div>
    <p class="chart-key muted"><span class="shade shade-standby"></span> traffic took the standby tunnel
      <span class="shade shade-none"></span> no tunnel was live
      <span aria-hidden="true">▼</span> traffic changed its tunnel; lines end where nothing is known, as before the daemon was started</p>
    <${Moves} connection=${connection} events=${events} />
    <${Figures} connection=${connection} histories=${histories} unit=${unit} />`;
}

function Summary({ connection, histories, unit, window }) {
  const rows = histories.map((one, i) => ({ one, tunnel: connection.tunnels[i], in: extent(scaled(one[unit.columns[0]], unit.factor)), out: extent(scaled(one[unit.columns[1]], unit.factor)) }));
  const rate = (value) => (value === null ? '–' : `${short(value)}${/[a-zA-Z]$/.test(short(value)) ? '' : ' '}${unit.unit}`);
  const columns = [
    { key: 'tunnel', label: 'Tunnel', render: ({ tunnel }) => html`<a href=${link('/tunnels/:id', {}, { id: tunnel.id })}>${tunnel.id}</a> <${Role} role=${tunnel.role} />` },
    { key: 'traffic', label: 'Now', render: ({ tunnel }) => (tunnel.carrying ? html`<${Status} kind="good">carries traffic<//>` : html`<${Status} kind="off">${tunnel.state}<//>`) },
    { key: 'in', label: 'Received', align: 'end', render: (row) => rate(row.in.now) },
    { key: 'out', label: 'Sent', align: 'end', render: (row) => rate(row.out.now) },
    { key: 'in-most', label: 'Received at most', align: 'end', render: (row) => rate(row.in.most) },
    { key: 'out-most', label: 'Sent at most', align: 'end', render: (row) => rate(row.out.most) },
    { key: 'in-total', label: 'Received in all', align: 'end', render: ({ one }) => bytes(total(one.bytes_in, one.interval)) },
    { key: 'out-total', label: 'Sent in all', align: 'end', render: ({ one }) => bytes(total(one.bytes_out, one.interval)) },
  ];
  return html`<${Table} caption=${`Traffic of ${connection.name} in the last ${window === '1h' ? 'hour' : WINDOWS[window][0]}`} columns=${columns} rows=${rows} rowKey=${({ tunnel }) => tunnel.id} />`;
}

/** The marked moments in words. */
function Moves({ connection, events }) {
  const [whole, setWhole] = useState(false);
  const shown = whole ? events : events.slice(0, 10);
  return html`<section aria-labelledby="moves" class="moves"><h2 id="moves">Traffic changed its tunnel</h2>
    ${events.length === 0 && html`<p class="muted">Not once in this window.</p>`}
    <ol>${shown.map((event) => html`<li key=${event.id}>
      <a href=${link('/events', { subject: connection.name, since: around(event.time, -5), until: around(event.time, 5) })}><time datetime=${event.time} title=${time(event.time, { ms: true })}>${clock(event.time)}</time></a>
      <${Status} kind=${event.kind === 'connection.no_live_tunnel' ? 'bad' : event.kind === 'connection.failback' ? 'good' : 'warn'}>${event.message}<//>
    </li>`)}</ol>
    ${events.length > shown.length && html`<button type="button" class="small" onClick=${() => setWhole(true)}>All ${events.length}</button>`}
  </section>`;
}

const around = (at, seconds) => new Date(Date.parse(at) + seconds * 1000).toISOString();
