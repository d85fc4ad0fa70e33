"""The guard: a small process that notices dead tunnels and moves traffic away from them by itself.

It outlives the daemon, which tells it what to watch and, for each nexthop group, where it may go
(`model`, `messages`). What it saw and did it tells the daemon, which alone decides on the way back.
"""
