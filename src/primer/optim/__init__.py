"""Optimizers, their parameter groups, and learning-rate schedules with warm-up."""

from primer.optim.chained import Chained, Muon, SparseAdam
from primer.optim.groups import build_optimizer, decayed, penalizes
from primer.optim.row_clipped import RowClippedSGD
from primer.optim.schedules import Formula, Schedule

__all__ = [
    "Chained",
    "Formula",
    "Muon",
    "RowClippedSGD",
    "Schedule",
    "SparseAdam",
    "build_optimizer",
    "decayed",
    "penalizes",
]
