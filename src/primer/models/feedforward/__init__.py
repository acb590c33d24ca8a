"""Linear models and multilayer perceptrons."""
