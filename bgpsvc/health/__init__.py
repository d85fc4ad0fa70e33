"""ICMP health checks of single-tunnel connections: codec and state machine, pure. The guard has sockets."""
