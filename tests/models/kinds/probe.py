"""A callback that logs a metric, and a data set that is not finished."""

from lightning import Callback

from primer.data.base import DataModule
from primer.data.images.digits import Digits
from primer.spec import Classes, Image


class Probe(Callback):
    """Logs a metric that rises from epoch to epoch."""

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/probe", float(trainer.current_epoch))


class Unfinished(DataModule):
    """Does not say how it is read."""

    inputs = Image
    targets = Classes


class EndlessLoader:
    """Yields the batches of a loader again and again, and has no length."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        while True:
            yield from self.loader


class Endless(Digits):
    """Digits without an end."""

    def train_dataloader(self):
        return EndlessLoader(super().train_dataloader())
