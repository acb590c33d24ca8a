"""Speed and memory, each beside something to compare with."""
