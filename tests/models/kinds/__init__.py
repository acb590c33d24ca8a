"""One small model of each kind of learning, written as a user of Primer would write it in a package of their own."""
