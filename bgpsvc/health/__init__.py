"""ICMP health checks of single-tunnel connections: codec and state machine (pure), and the prober (I/O)."""
