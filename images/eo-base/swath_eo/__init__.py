"""The processing cores that Swath's images share."""
