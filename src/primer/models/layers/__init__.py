"""Layers and search procedures that several models share."""
