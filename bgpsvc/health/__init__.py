"""ICMP health checks of single-tunnel connections: codec and state machine. Pure; the guard carries them out."""
