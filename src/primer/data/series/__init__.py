"""Time series and synthetic sequences."""
