"""Where things lie: grids of pixels, areas of interest and outlines on the globe."""
