"""One contract for the store, kept on PostgreSQL and on SQLite."""
