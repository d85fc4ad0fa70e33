// What the states of a tunnel mean, in words for people. Pure.
import { duration, words } from './format.js';

const STATES = { live: 'good', warming: 'warn', down: 'bad' };
const METHODS = {
  link: 'link', bfd: 'BFD', probe: 'probe', dpd: 'dead peer detection', hold_time: 'BGP hold time', health_check: 'health check',
};
/** Names of the ways to notice a death. */
export const methodName = (method) => METHODS[method] ?? words(method);

/** Kind of status of a tunnel's state. */
export const stateKind = (tunnel) => STATES[tunnel.state] ?? 'off';

/** Kind of status of a BGP session's state (RFC 4271 8.2.2); null: there is no session. */
export function sessionKind(state) {
  if (state === null || state === undefined) return 'off';
  return state === 'established' ? 'good' : state === 'idle' ? 'bad' : 'warn';
}

const IPSEC = { ike_sa_not_established: 'bad', ike_sa_established: 'warn', ipsec_sa_not_established: 'bad', ipsec_sa_established: 'good' };
/** Kind of status of a tunnel's IPsec, in the clouds' words. */
export const ipsecKind = (status) => IPSEC[status] ?? 'off';

/** The layers of a tunnel from below: [{name, kind, word, reason}]. */
export function layers(tunnel) {
  return [link(tunnel), ...ipsec(tunnel), bgp(tunnel), ...watchers(tunnel)].filter(Boolean);
}

const link = (tunnel) => (tunnel.link_up ? null
  : { name: 'Link', kind: 'bad', word: 'down', reason: `the interface ${tunnel.interface} is down` });

function ipsec({ ipsec: found }) {
  if (!found) return [{ name: 'IPsec', kind: 'off', word: 'external', reason: 'somebody else makes this interface' }];
  const ike = found.status !== 'ike_sa_not_established';
  const child = found.status === 'ipsec_sa_established';
  const failed = found.status === 'ipsec_sa_not_established';
  return [
    { name: 'IKE', kind: ike ? 'good' : 'bad', word: ike ? 'up' : 'down', reason: ike ? 'the IKE SA is established' : found.reason },
    {
      name: 'IPsec',
      kind: child ? 'good' : failed ? 'bad' : ike ? 'warn' : 'off',
      word: child ? 'up' : failed ? 'down' : ike ? 'waits' : 'waits for IKE',
      reason: found.reason,
    },
  ];
}

function bgp({ session_state: state }) {
  if (state === null) return { name: 'BGP', kind: 'off', word: 'not used', reason: 'the connection does not enable BGP' };
  return { name: 'BGP', kind: sessionKind(state), word: state === 'established' ? 'up' : words(state), reason: `the session is ${words(state)}` };
}

/** What sends packets of its own through the tunnel. Its verdict is known at once, its counters a second later. */
const WATCHERS = { bfd: 'BFD', probe: 'Probe', health_check: 'Health check' };

const watchers = ({ detection: found }) => found.filter(({ method }) => method in WATCHERS).map(({ method, state, reason }) => ({
  name: WATCHERS[method], kind: { up: 'good', down: 'bad', waiting: 'off' }[state], word: state === 'waiting' ? 'waits' : state, reason,
}));

/** How fast the death of the path would be noticed now: {method, text, ms}; ms null: by nothing but the link. */
export function detection(tunnel) {
  const found = tunnel.detection.find((one) => one.in_force);
  if (!found || found.method === 'link') {
    return { method: null, ms: null, text: 'Nothing watches the path: only a lost link is noticed' };
  }
  return { method: found.method, ms: found.worst_case_ms, text: `Death noticed by ${methodName(found.method)} within ${exactly(found.worst_case_ms)}` };
}

/** Detection times are compared in milliseconds, so they are shown in them up to ten seconds. */
const exactly = (ms) => (ms < 10_000 ? `${ms.toLocaleString('en')} ms` : duration(ms));

/** Why a tunnel is not live, lowest layer first; null if it is. */
export function trouble(tunnel) {
  if (tunnel.state === 'live') return null;
  const error = tunnel.ipsec?.last_error;
  if (tunnel.ipsec && tunnel.ipsec.status !== 'ipsec_sa_established' && error) return mismatch(error);
  return tunnel.state_reason;
}

/** `text (here: a, there: b)`, of an error of IPsec. */
export function mismatch(error) {
  const values = [error.local !== null && `here: ${error.local}`, error.remote !== null && `there: ${error.remote}`].filter(Boolean);
  return values.length ? `${error.text} (${values.join(', ')})` : error.text;
}

/** How a connection does: {kind, word, reason}. */
export function connectionState(connection) {
  const { tunnels, carrying, mode } = connection;
  if (tunnels.length === 0) return { kind: 'off', word: 'not running yet', reason: connection.status_reason ?? 'it is on its way' };
  const used = tunnels.find((tunnel) => tunnel.id === carrying);
  if (!used) return { kind: 'bad', word: 'no traffic', reason: 'no tunnel is live' };
  const dead = tunnels.filter((tunnel) => tunnel.state !== 'live');
  if (dead.length > 0) return { kind: 'warn', word: 'not redundant', reason: `${dead.map(({ id }) => id).join(', ')} is ${dead[0].state}` };
  if (mode !== 'auto') return { kind: 'warn', word: `held on ${used.role}`, reason: `an operator chose the ${mode} tunnel` };
  if (used.role === 'standby') return { kind: 'warn', word: 'on standby', reason: connection.last_switchover_reason ?? 'traffic takes the standby tunnel' };
  return { kind: 'good', word: 'up', reason: 'traffic takes the active tunnel' };
}

/** What needs a look: [{id, kind, text, href parts}] of connections, worst first. */
export function attention(connections) {
  const found = [];
  for (const connection of connections) {
    const state = connectionState(connection);
    if (state.kind === 'bad') found.push({ id: connection.name, tunnel: null, kind: 'bad', text: `${state.word}: ${state.reason}` });
    for (const tunnel of connection.tunnels) {
      const why = trouble(tunnel);
      if (why) found.push({ id: tunnel.id, tunnel: tunnel.id, kind: stateKind(tunnel), text: why });
      else if (tunnel.flapping) found.push({ id: tunnel.id, tunnel: tunnel.id, kind: 'warn', text: 'it keeps failing: its hold-down has grown' });
    }
    if (connection.mode !== 'auto') found.push({ id: connection.name, tunnel: null, kind: 'warn', text: `held on the ${connection.mode} tunnel by an operator` });
  }
  return found.sort((a, b) => (a.kind === 'bad' ? 0 : 1) - (b.kind === 'bad' ? 0 : 1));
}
