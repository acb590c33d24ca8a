"""Shared by all data sets: splits, scaling and data loaders."""
