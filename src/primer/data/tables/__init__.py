"""Tables: one row of numbers per sample."""
