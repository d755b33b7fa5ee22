"""The database: what is desired and what was observed, in PostgreSQL for a cluster and in SQLite for a laptop."""
