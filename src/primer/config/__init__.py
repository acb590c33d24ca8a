"""Instantiation of the objects that configs describe."""
