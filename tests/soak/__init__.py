"""Real processes, killed and stopped at random while 5,000 tasks with known results run: `make soak MINUTES=10`."""
