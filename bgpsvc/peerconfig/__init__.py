"""Configurations for the other side of a VPN connection, made from the connection's own settings.

`facts` says what the device at the other side must be told, `select` takes that from the resources,
`platforms` has the devices, `words` and `names_*` their words, `render` writes it down for one of them.
"""
