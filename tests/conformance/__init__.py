"""The checklist of what a Mesos framework must do, M1 to M40: where each item is implemented, and what proves it."""
