"""What a job, a task and an attempt are, and which of their states may follow which: pure values, no I/O."""
