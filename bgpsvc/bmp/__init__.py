"""BMP: what sessions announce and what becomes of it, told to monitoring stations (RFC 7854, 8671, 9069)."""
