"""The job service: the REST API over the store, as one FastAPI application."""
