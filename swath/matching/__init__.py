"""Which tasks run on which agents now, and why the others wait: pure functions over numpy arrays."""
