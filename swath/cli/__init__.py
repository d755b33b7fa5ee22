"""The `swath` command."""
