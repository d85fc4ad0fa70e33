// Whether a tunnel that is out of use is quiet, so that it may be taken down: what still comes in over it.
import { html } from '../core/html.js';
import { api, path as url } from '../core/http.js';
import { rate } from '../core/format.js';
import { useLive } from '../core/live.js';
import { Status } from '../ui/index.js';

/** Packets a second beside BFD's that say nothing of traffic: BGP, echo requests of probes. */
const OTHERS = 3;
const BUSY = 1.3;

const latest = (values) => values.findLast((value) => value !== null) ?? null;

/** Of the last interval that is over; {bytes, packets} a second, null where nothing is known yet. */
const load = async (id, signal) => {
  const { data } = await api.get(url`/v1/tunnels/${id}/history`, { window: '15m' }, { signal });
  return { bytes: latest(data.bytes_in), packets: latest(data.packets_in) };
};

export function Quiet({ tunnel }) {
  const { data } = useLive((signal) => load(tunnel.id, signal), { kinds: ['connection.'], every: 5_000, key: tunnel.id });
  if (!data || data.packets === null) return html`<span class="muted">not known yet</span>`;
  const own = tunnel.bfd?.state === 'up' ? 1000 / tunnel.bfd.receive_ms : 0;
  const said = `${Math.round(data.packets)} packets a second, ${rate(data.bytes)}`;
  return data.packets <= own * BUSY + OTHERS
    ? html`<${Status} kind="good">quiet<//> ${said}: no more than BFD and BGP`
    : html`<${Status} kind="warn">traffic<//> ${said}`;
}
