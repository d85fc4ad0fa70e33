// The kinds of resources, in the order in which they are made: each refers to earlier ones only.

/** `key` as in plans, `path` under /v1, `document`: name of its schema, `what`: what it is for. */
export const KINDS = [
  {
    key: 'vpcs', path: 'vpcs', label: 'VPC', plural: 'VPCs', document: 'VpcDocument',
    what: 'A network of your own: its address ranges, and the kernel table that gets the routes to the other side.',
    columns: [['Networks', (config) => config.cidrs.join(', ')], ['Table', (config) => config.route_table]],
  },
  {
    key: 'vpn_gateways', path: 'vpn-gateways', label: 'VPN gateway', plural: 'VPN gateways', document: 'VpnGatewayDocument',
    what: 'Connects a VPC: two public addresses, one for each tunnel of a connection.',
    columns: [['VPC', (config) => config.vpc], ['Addresses', (config) => config.addresses.join(', ')],
      ['Propagation', (config) => (config.auto_propagate ? 'on' : 'off')]],
  },
  {
    key: 'customer_gateways', path: 'customer-gateways', label: 'customer gateway', plural: 'Customer gateways',
    document: 'CustomerGatewayDocument',
    what: 'The other side of a tunnel: its public address and, for BGP, its AS number.',
    columns: [['Address', (config) => config.address], ['ASN', (config) => config.asn ?? '–']],
  },
  {
    key: 'vpn_connections', path: 'vpn-connections', label: 'VPN connection', plural: 'VPN connections', document: 'VpnConnectionDocument',
    what: 'Two tunnels from a VPN gateway to customer gateways, the second for when the first fails.',
    columns: [['Gateway', (config) => config.vpn_gateway],
      ['To', (config) => config.tunnels.map((tunnel) => tunnel.customer_gateway).join(', ')],
      ['Routing', (config) => (config.enable_bgp ? `BGP, AS ${config.local_asn}` : 'static')]],
  },
  {
    key: 'routing_policies', path: 'routing-policies', label: 'routing policy', plural: 'Routing policies', document: 'RoutingPolicyDocument',
    what: 'Rules for what is accepted from peers, or announced to them.',
    columns: [['Rules', (config) => config.rules.length], ['Otherwise', (config) => config.default_action]],
  },
  {
    key: 'destination_routes', path: 'destination-routes', label: 'destination-based route', plural: 'Destination-based routes',
    document: 'DestinationRouteDocument', what: 'Static routes into a connection, the longest match first.',
    columns: [['Destination', (config) => config.destination], ['Over', (config) => config.vpn_connection],
      ['Published', (config) => (config.publish ? 'yes' : 'no')]],
  },
  {
    key: 'policy_routes', path: 'policy-routes', label: 'policy-based route', plural: 'Policy-based routes', document: 'PolicyRouteDocument',
    what: 'Static routes by source and destination, the lowest priority first; asked before all others.',
    columns: [['Source', (config) => config.source], ['Destination', (config) => config.destination],
      ['Over', (config) => config.vpn_connection], ['Priority', (config) => config.priority]],
  },
  {
    key: 'vpc_routes', path: 'vpc-routes', label: 'custom VPC route', plural: 'Custom VPC routes', document: 'VpcRouteDocument',
    what: "Routes of a VPC's table that lead elsewhere than into a tunnel.",
    columns: [['VPC', (config) => config.vpc], ['Destination', (config) => config.destination],
      ['To', (config) => (config.blackhole ? 'nowhere (blackhole)' : [config.next_hop, config.interface].filter(Boolean).join(', '))]],
  },
];

/** The kind of a path (`vpn-gateways`) or of a key (`vpn_gateways`). */
export const kindOf = (name) => KINDS.find(({ path, key }) => path === name || key === name);

/** Where a resource is edited. */
export const editorOf = (kind, name) => `#/resources/${kind.path}/${encodeURIComponent(name)}`;
