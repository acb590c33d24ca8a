"""Tabular data sets, with one row per sample."""
