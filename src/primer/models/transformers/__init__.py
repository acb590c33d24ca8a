"""Transformers that read one sequence."""
