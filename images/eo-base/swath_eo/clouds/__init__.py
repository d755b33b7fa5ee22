"""What is cloud and what is clear."""
