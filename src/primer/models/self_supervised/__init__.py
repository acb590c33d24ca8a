"""Models that learn features from inputs alone, for other models to start from."""
