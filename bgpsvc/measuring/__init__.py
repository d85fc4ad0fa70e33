"""The recent past of tunnels in figures: traffic, prefixes, and which of them carried it."""
