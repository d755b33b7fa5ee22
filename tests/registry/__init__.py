"""Tests of the client of registries, against real ones and hostile ones."""
