"""One picture out of many places."""
