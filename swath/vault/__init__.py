"""Secrets: how they lie in the database, and how they travel to an executor. Only it imports `cryptography`."""
