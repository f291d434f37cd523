"""The database behind the core's ports: PostgreSQL, or SQLite as the embedded default."""
