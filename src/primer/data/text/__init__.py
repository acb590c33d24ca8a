"""Data sets of tokens: text, tagged sentences, pairs of sequences, and music."""
