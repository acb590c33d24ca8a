"""Text, tagged words, pairs of sequences, and music as tokens."""
