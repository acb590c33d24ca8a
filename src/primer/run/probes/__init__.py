"""Runs that look at a model instead of training it: the learning rate range test, batch sizes, and a summary."""

from primer.run.probes.probe import Probe, run_probe

__all__ = ["Probe", "run_probe"]
