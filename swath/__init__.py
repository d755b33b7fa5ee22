"""Swath: what all its programs agree on, and what users import."""

__version__ = "0.1.0"  # as in pyproject.toml: the application image runs from a checkout that is not installed
