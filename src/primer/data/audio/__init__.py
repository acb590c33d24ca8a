"""Recordings of sound."""
