"""Models that learn by acting in an environment."""
