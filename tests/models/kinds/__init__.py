"""One small model of each kind of training, written as a user of Primer would write it in a separate package."""
