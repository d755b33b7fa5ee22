"""Swath: what all its programs agree on, and what users import."""
