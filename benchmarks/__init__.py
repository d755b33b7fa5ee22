"""Speeds and sizes, measured on the machine at hand and printed as JSON: `python -m benchmarks` runs them all."""
