"""Pictures for human eyes."""
