"""The store: resources, secrets, tokens, audit and events in SQLite or PostgreSQL."""
