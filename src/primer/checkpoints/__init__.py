"""Checkpoints: load, save, resume, and start from trained weights."""
