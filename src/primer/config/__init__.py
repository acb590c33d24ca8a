"""From config nodes to objects."""
