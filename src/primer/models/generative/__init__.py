"""Models that learn to reconstruct or to generate data."""
