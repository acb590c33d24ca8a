"""Figures of training and test results."""
