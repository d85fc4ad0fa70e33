// How the forms read: order, groups, words. Types, defaults and limits come from the OpenAPI document.
// An item is a field {at: path, label, hint, unit, ref, suggest, placeholder, when}, {more: title, items} for what
// is rarely needed, {part: title, items} for what belongs together, or {section|list: path, label, …}, whose own
// layout is that of its schema. What no layout names is shown at the end, so that no field is ever missing.
import { CONNECTION_LAYOUTS } from './resources_layout_connection.js';

export const NAME = { at: 'name', label: 'Name', hint: 'a to z, 0 to 9 and -, beginning with a letter. It cannot be changed later.', placeholder: '' };
const POLICIES = [
  { at: 'import_policy', label: 'Import policy', ref: 'routing-policies', hint: 'Judges what peers announce.' },
  { at: 'export_policy', label: 'Export policy', ref: 'routing-policies', hint: 'Judges what is announced to them.' },
];
const GATEWAY = { at: 'vpn_gateway', label: 'VPN gateway', ref: 'vpn-gateways', fixed: true };
const OVER = { at: 'vpn_connection', label: 'Over VPN connection', ref: 'vpn-connections', hint: 'Where it leads: a connection of that gateway.' };
const PUBLISH = { at: 'publish', label: "Publish it into the VPC's route table too" };
const DESTINATION = { at: 'destination', label: 'Destination', placeholder: '192.168.0.0/16', hint: 'A network, IPv4 or IPv6; not the default route.' };

const LAYOUTS = {
  VpcDocument: [
    NAME,
    { at: 'cidrs', label: 'Networks', placeholder: '10.0.0.0/16', hint: 'One a line, IPv4 or IPv6. They are advertised to the peers while propagation is on.' },
    {
      more: 'Route table and interfaces',
      items: [
        { at: 'route_table', label: 'Kernel route table', hint: 'A number of its own for each VPC.' },
        { at: 'interfaces', label: 'Interfaces', hint: 'One a line. What enters there sees the routes of this VPC alone; needed with several VPCs.' },
      ],
    },
  ],
  VpnGatewayDocument: [
    NAME,
    { at: 'vpc', label: 'VPC', ref: 'vpcs', fixed: true, hint: 'One that has no gateway yet.' },
    { at: 'addresses.0', label: 'Public address for tunnels 1', placeholder: '198.51.100.1', hint: 'An IPv4 address of this machine.' },
    { at: 'addresses.1', label: 'Public address for tunnels 2', placeholder: '198.51.100.3', hint: 'Best over another provider; the same again if there is no other.' },
    {
      at: 'auto_propagate', label: 'Automatic propagation',
      hint: "On: the VPC's networks are advertised to the peers, and learned prefixes go into its route table. Off: neither.",
    },
    {
      more: 'More advertisements, policies, router id',
      items: [
        { at: 'advertise', label: 'Advertise also', hint: "Prefixes, one a line, beside the VPC's networks." },
        ...POLICIES,
        { at: 'router_id', label: 'Router id', hint: 'BGP Identifier; without it the first public address.' },
      ],
    },
  ],
  CustomerGatewayDocument: [
    NAME,
    { at: 'address', label: 'Public address', placeholder: '203.0.113.10', hint: 'IPv4 address of the other side.' },
    { at: 'asn', label: 'AS number', placeholder: '65500', hint: 'Of the other side; connections with BGP need it. 1 to 4294967295, or as 123.456.' },
  ],
  ...CONNECTION_LAYOUTS,
  RoutingPolicyDocument: [
    NAME,
    { list: 'rules', label: 'Rules', one: 'Rule', ordered: true, hint: 'The first that matches decides.' },
    { at: 'default_action', label: 'What no rule matches' },
  ],
  PolicyRuleDocument: [
    {
      part: 'What it is for', hint: 'All that is given must match; of a list, any. Nothing given: everything.',
      items: [
        { list: 'match.prefixes', label: 'Prefixes', one: 'Prefix' },
        { at: 'match.communities', label: 'Communities', placeholder: '65500:100', hint: 'One a line: 65000:100, 65000:1:2, or a name as no-export.' },
        { at: 'match.as_path', label: 'AS path', placeholder: '^65500_', hint: 'A regular expression; _ is a boundary.' },
        { at: 'match.sessions', label: 'Sessions', placeholder: 'conn1-tunnel2', hint: 'One a line.', suggest: 'sessions' },
      ],
    },
    { at: 'action', label: 'What happens to it' },
    {
      more: 'Changes to what is accepted',
      items: [
        { at: 'local_preference', label: 'Local preference', hint: 'Import: the highest wins.' },
        { at: 'med', label: 'MED', hint: 'Export: the peer prefers the lowest.' },
        { at: 'prepend', label: 'Prepend', hint: 'How many times more the AS number stands in the path.' },
        { at: 'add_communities', label: 'Add communities', hint: 'One a line.' },
        { at: 'remove_communities', label: 'Remove communities', hint: 'One a line.' },
      ],
    },
  ],
  PrefixMatchDocument: [
    { at: 'prefix', label: 'Prefix', placeholder: '192.168.0.0/16', hint: 'Exactly it, or what is inside it by length.' },
    { at: 'ge', label: 'Length from', short: true },
    { at: 'le', label: 'Length to', short: true },
  ],
  DestinationRouteDocument: [NAME, GATEWAY, DESTINATION, OVER, PUBLISH],
  PolicyRouteDocument: [
    NAME, GATEWAY, { at: 'source', label: 'Source', placeholder: '10.0.1.0/24', hint: 'A network of the same family.' }, DESTINATION, OVER,
    { at: 'priority', label: 'Priority', hint: 'The lowest is asked first, whatever the lengths.' }, PUBLISH,
  ],
  VpcRouteDocument: [
    NAME,
    { at: 'vpc', label: 'VPC', ref: 'vpcs', fixed: true },
    DESTINATION,
    { at: 'next_hop', label: 'Next hop', placeholder: '10.0.0.254', hint: 'An address in a connected network.' },
    { at: 'blackhole', label: 'Blackhole: drop the packets' },
    { at: 'advertise', label: 'Advertise it to the peers', hint: "Beside the VPC's networks, while propagation is on." },
    { more: 'Interface', items: [{ at: 'interface', label: 'Interface', hint: 'Over which the next hop is reached, if that has to be said.' }] },
  ],
};

/** What a new resource begins with. */
export const BEGINNINGS = {
  VpnConnectionDocument: { enable_bgp: true, tunnels: [{ bgp: {} }, { bgp: {} }] },
  VpnGatewayDocument: { auto_propagate: true },
  RoutingPolicyDocument: { rules: [{}] },
};
/** What a new entry of a list begins with. */
export const NEW_ENTRIES = { TunnelDocument: { bgp: {} } };

/** Words of choices that say more than the value; those that older devices know are marked. */
export const CHOICES = {
  ikev2: 'IKEv2', ikev1: 'IKEv1 (legacy)', main: 'main', aggressive: 'aggressive (legacy, IKEv1 only)',
  aes: 'AES-128', aes192: 'AES-192', aes256: 'AES-256', des: 'DES (legacy)', '3des': '3DES (legacy)',
  sha256: 'SHA-256', sha384: 'SHA-384', sha512: 'SHA-512', sha1: 'SHA-1 (legacy)', md5: 'MD5 (legacy)',
  group14: 'group 14', group5: 'group 5 (legacy)', group2: 'group 2 (legacy)', group1: 'group 1 (legacy)',
  disabled: 'none', shed: 'leave out the rest, and warn', teardown: 'end the session',
  destination: 'by routes (destination)', interesting_traffic: 'by networks (interesting traffic)',
  revoke_route: 'take the routes away', reserve_route: 'leave the routes', accept: 'accept', reject: 'reject',
};

const mentionedIn = (items) => items.flatMap((item) => (item.items ? mentionedIn(item.items) : [item.at ?? item.section ?? item.list]));

/** The layout of a schema, with what it does not name at the end. */
export function layoutOf(schema) {
  const items = LAYOUTS[schema.name] ?? [];
  const mentioned = new Set(mentionedIn(items).map((path) => path.replace(/\.\d+$/, '')));
  const rest = unnamed(schema, '', mentioned);
  return rest.length ? [...items, { more: 'Other settings', items: rest }] : items;
}

function unnamed(schema, prefix, mentioned) {
  return schema.keys.flatMap((key) => {
    const path = prefix + key;
    const member = schema.member(key);
    if (mentioned.has(path)) return [];
    if (member.type === 'section' && member.soft) return unnamed(member, `${path}.`, mentioned);
    const label = key.replaceAll('_', ' ');
    if (member.type === 'section') return [{ section: path, label }];
    return [member.type === 'sections' ? { list: path, label, one: label } : { at: path, label }];
  });
}
