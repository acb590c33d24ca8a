"""Environments in which models act, instead of data sets."""
