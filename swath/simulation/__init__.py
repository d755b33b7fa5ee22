"""The scheduler's matcher on a virtual clock: what a policy would make of a recorded, foreign or invented workload."""
