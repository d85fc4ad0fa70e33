"""`bgpsvc doctor`: whether this machine can do what the daemon needs, before anybody starts it.

`report` holds the findings, `machine`, `network` and `daemon` look at what is there, and `trial` tries in a
network namespace of its own what can only be found by trying. Nothing is changed, and nothing is left behind.
"""
