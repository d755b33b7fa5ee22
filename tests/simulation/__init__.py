"""An hour of a cluster's life in seconds: the real scheduler on a virtual clock, and faults drawn from a seed."""
