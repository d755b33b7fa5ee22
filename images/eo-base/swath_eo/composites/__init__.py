"""One picture out of many dates."""
