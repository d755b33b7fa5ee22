"""A client of image registries: the OCI distribution API v2, read-only, and distrustful."""
