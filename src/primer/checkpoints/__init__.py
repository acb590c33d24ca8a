"""Checkpoints: loading, saving, resuming, and starting from pretrained weights."""
