"""Encoder-decoder networks."""
