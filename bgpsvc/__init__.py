"""bgpsvc: a site-to-site VPN gateway with BGP over two tunnels per connection."""

__version__ = "0.1.0"
