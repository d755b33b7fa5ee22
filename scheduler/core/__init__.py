"""The scheduler's decisions, pure: events in, changes of state, effects out."""
