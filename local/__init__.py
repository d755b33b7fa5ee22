"""A single-node Mesos for laptops, tests and simulation: the v1 HTTP API over pure state machines."""
