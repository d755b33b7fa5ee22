"""Writing results: cloud-optimised GeoTIFFs, the items that describe them, and statistics over their windows."""
