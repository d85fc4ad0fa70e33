"""Real tunnels: IKE and ESP by strongSwan's charon, driven over vici behind a small port (`ipsec.port`)."""
