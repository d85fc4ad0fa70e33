"""MRT (RFC 6396): routes and what peers sent as files that the tools of route collectors read."""
