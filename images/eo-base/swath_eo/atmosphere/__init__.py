"""From the top of the atmosphere down to the surface."""
