"""Word vectors learned from running text."""
