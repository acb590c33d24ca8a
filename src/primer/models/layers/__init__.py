"""Layers and decoding algorithms shared by several models."""
