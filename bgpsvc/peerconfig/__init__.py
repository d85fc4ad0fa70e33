"""Configurations for the other side of a VPN connection, made from the connection's own settings.

`facts` says what the device at the other side must be told, `platforms` which devices there are, `render`
writes it down in the words of one of them.
"""
