// The kinds of events that the API knows, by what they are about.

/** Group to its name and kinds: a filter of the page is a group. */
export const GROUPS = {
  traffic: ['Traffic that moved', [
    'connection.switchover', 'connection.failback', 'connection.no_live_tunnel', 'connection.operator_switch',
  ]],
  tunnels: ['Tunnels', [
    'tunnel.live', 'tunnel.down', 'tunnel.warming', 'tunnel.healthy', 'tunnel.unhealthy', 'tunnel.flapping',
  ]],
  detection: ['Detection of failures', [
    'bfd.up', 'bfd.down', 'probe.up', 'probe.down', 'guard.up', 'guard.down', 'guard.switched', 'guard.error',
  ]],
  sessions: ['BGP sessions', [
    'session.up', 'session.down', 'session.error', 'session.messages_lost', 'session.prefix_limit',
    'speaker.up', 'speaker.down', 'speaker.hung', 'bmp.connected', 'bmp.disconnected',
  ]],
  ipsec: ['IPsec', ['ipsec.up', 'ipsec.down', 'ipsec.rekeyed', 'ipsec.error', 'charon.up', 'charon.down']],
  routes: ['Routes in the kernel', ['gateway.propagation', 'fib.repair', 'fib.error', 'fib.sweep']],
  service: ['Configuration and daemon', [
    'config.changed', 'config.reloaded', 'config.rejected', 'config.incomplete', 'daemon.restarted',
    'recording.failed', 'recording.resumed',
  ]],
};

/** From this severity on. */
export const SEVERITIES = {
  warning: ['Warnings and errors', ['warning', 'error']],
  error: ['Errors', ['error']],
};

/** Last so many seconds. */
export const PERIODS = {
  '15m': ['Last 15 minutes', 900],
  '1h': ['Last hour', 3600],
  '24h': ['Last 24 hours', 86_400],
  '7d': ['Last 7 days', 604_800],
};
