"""Reading scenes in whatever form they come: their bands, what the numbers mean, and the pixels window by window."""
