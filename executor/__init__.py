"""The Mesos executor: one process on each agent that runs many attempts, in containers or as plain processes."""
