// The form of a VPN connection and its sections; see resources_layout.js.
import { at } from './resources_document.js';

/** The two hosts of a tunnel network, for who picks one: 169.254.10.0/30 gives .1 and .2. */
function hosts(draft, path) {
  const cidr = at(draft, [...path.slice(0, -1), 'tunnel_cidr']) ?? '';
  const found = /^(\d+\.\d+\.\d+\.)(\d+)\/30$/.exec(cidr.trim());
  return found ? [1, 2].map((host) => found[1] + (Number(found[2]) + host)) : [];
}

const interesting = (draft) => draft.routing_mode === 'interesting_traffic';
const single = (draft) => (draft.tunnels ?? []).length === 1;

export const CONNECTION_LAYOUTS = {
  VpnConnectionDocument: [
    { at: 'name', label: 'Name', hint: 'a to z, 0 to 9 and -, beginning with a letter. It cannot be changed later.' },
    { at: 'vpn_gateway', label: 'VPN gateway', ref: 'vpn-gateways', fixed: true },
    { at: 'enable_bgp', label: 'Exchange routes by BGP', hint: 'Needs customer gateways with an AS number. Without it: static routes.' },
    { at: 'local_asn', label: 'AS number of this side', placeholder: '65530', hint: 'For both tunnels. 1 to 4294967295, or as 123.456.' },
    { list: 'tunnels', label: 'Tunnels', one: 'Tunnel', names: ['Tunnel 1 (active)', 'Tunnel 2 (standby)'] },
    {
      more: 'Switchover and failback',
      items: [
        { at: 'prefer_active_tunnel', label: 'Prefer tunnel 1', hint: "Off: the attributes of the peer's paths decide." },
        { at: 'failback_hold_down', label: 'Failback after', unit: 's', hint: 'How long a tunnel that came back must stay up before traffic returns to it.' },
        { at: 'failback_hold_down_max', label: 'At most', unit: 's', hint: 'Up to this it grows for a tunnel that keeps failing.' },
      ],
    },
    {
      more: 'Routes and policies',
      items: [
        { at: 'import_policy', label: 'Import policy', ref: 'routing-policies', hint: 'Without one, that of the VPN gateway.' },
        { at: 'export_policy', label: 'Export policy', ref: 'routing-policies', hint: 'Without one, that of the VPN gateway.' },
        { at: 'accept_default_route', label: 'Accept a default route from the peers' },
        { at: 'routing_mode', label: 'What goes into the tunnels' },
        { at: 'local_cidrs', label: 'Networks of this side', hint: 'One a line.', when: interesting },
        { at: 'remote_cidrs', label: 'Networks of the other side', hint: 'One a line.', when: interesting },
        { at: 'effect_immediately', label: 'Negotiate at once', hint: 'Off: when there is traffic for it.' },
        { section: 'health_check', label: 'Health check', hint: 'Echo requests through a single tunnel.', when: single },
      ],
    },
  ],
  TunnelDocument: [
    { at: 'customer_gateway', label: 'Customer gateway', ref: 'customer-gateways', hint: 'The other end of this tunnel.' },
    { at: 'ike.pre_shared_key', label: 'Pre-shared key', hint: 'The same on both sides. Left empty, one of 16 random characters is made.' },
    { section: 'bgp', label: 'Addresses inside the tunnel', hint: 'Needed for BGP, and to watch the path.' },
    {
      more: 'IKE (phase 1)',
      items: [
        { at: 'ike.version', label: 'Version' },
        { at: 'ike.encryption', label: 'Encryption' },
        { at: 'ike.authentication', label: 'Authentication' },
        { at: 'ike.pfs', label: 'Diffie-Hellman group' },
        { at: 'ike.lifetime', label: 'Lifetime', unit: 's' },
        { at: 'ike.mode', label: 'Mode' },
        { at: 'ike.local_id', label: 'Identity of this side', hint: "An address or a domain name; without it the gateway's address." },
        { at: 'ike.remote_id', label: 'Identity of the other side', hint: "Without it the customer gateway's address." },
      ],
    },
    {
      more: 'IPsec (phase 2)',
      items: [
        { at: 'ipsec.encryption', label: 'Encryption' },
        { at: 'ipsec.authentication', label: 'Authentication' },
        { at: 'ipsec.pfs', label: 'Perfect forward secrecy' },
        { at: 'ipsec.lifetime', label: 'Lifetime', unit: 's' },
      ],
    },
    {
      more: 'Dead peer detection, NAT, MTU, external interface',
      items: [
        { at: 'dpd.enabled', label: 'Dead peer detection (DPD)' },
        { at: 'dpd.timeout', label: 'DPD timeout', unit: 's' },
        { at: 'nat_traversal', label: 'Room for NAT traversal', hint: 'A NAT is dealt with in any case; no leaves its bytes to the packets.' },
        { at: 'mtu', label: 'MTU', unit: 'bytes', hint: 'By default what path and algorithms leave.' },
        { at: 'interface', label: 'External interface', hint: 'One that somebody else makes and protects; IKE and IPsec are not applied then.' },
      ],
    },
  ],
  BgpSettingsDocument: [
    { at: 'tunnel_cidr', label: 'Tunnel network', placeholder: '169.254.10.0/30', hint: 'A /30 inside 169.254.0.0/16, the same on both sides.' },
    { at: 'local_ip', label: 'Address of this side', placeholder: '169.254.10.1', hint: 'The peer has the other one.', suggest: hosts },
    { section: 'bfd', label: 'BFD', hint: 'A dead path is noticed within fractions of a second. The peer needs it too.' },
    {
      more: 'BGP session',
      items: [
        { at: 'hold_time', label: 'Hold time', unit: 's' },
        { at: 'graceful_restart', label: 'Graceful restart', unit: 's', hint: '0 turns it off.' },
        { at: 'password', label: 'TCP MD5 password' },
        { at: 'ttl_security', label: 'TTL security', unit: 'hops', hint: 'GTSM; 1: the peer is directly connected. The peer must do it too.' },
        { at: 'max_prefixes', label: 'Most prefixes' },
        { at: 'max_prefixes_action', label: 'Beyond that' },
        { at: 'passive', label: 'Wait for the peer to connect' },
      ],
    },
    { section: 'probe', label: 'Echo probe', hint: 'For peers without BFD.', rare: true },
    { section: 'ipv6', label: 'IPv6 inside the tunnel', hint: 'For IPv6 routes over the same session.', rare: true },
  ],
  BfdSettingsDocument: [
    { at: 'interval_ms', label: 'Interval', unit: 'ms', short: true },
    { at: 'multiplier', label: 'Multiplier', hint: 'Dead after that many intervals.', short: true },
    { more: 'Authentication, multihop', items: [
      { at: 'key', label: 'Key', hint: 'Every packet is signed with it.' },
      { at: 'key_id', label: 'Key id', short: true },
      { at: 'multihop', label: 'Multihop (RFC 5883)' },
    ] },
  ],
  ProbeSettingsDocument: [
    { at: 'interval_ms', label: 'Interval', unit: 'ms', short: true },
    { at: 'multiplier', label: 'Lost requests', hint: 'In a row, until the peer is dead.', short: true },
  ],
  Ipv6SettingsDocument: [
    { at: 'tunnel_cidr', label: 'IPv6 tunnel network', placeholder: 'fd00:10::/126' },
    { at: 'local_ip', label: 'IPv6 address of this side', placeholder: 'fd00:10::1' },
  ],
  HealthCheckDocument: [
    { at: 'source', label: 'From', hint: 'An address of this side.' },
    { at: 'destination', label: 'To', hint: 'A host of the other side.' },
    { at: 'interval', label: 'Interval', unit: 's', short: true },
    { at: 'retries', label: 'Retries', short: true },
    { at: 'on_failure', label: 'When it fails' },
  ],
};
