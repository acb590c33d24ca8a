"""A callback that logs a metric, and incomplete and infinite data sets."""

from lightning import Callback

from primer.data.base import DataModule
from primer.data.images.digits import Digits
from primer.spec import Classes, Image


class Probe(Callback):
    """Logs a metric that increases with each epoch."""

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/probe", float(trainer.current_epoch))


class Unfinished(DataModule):
    """Does not define how it is read."""

    inputs = Image
    targets = Classes


class EndlessLoader:
    """Repeats the batches of a loader forever, and does not have a length."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        while True:
            yield from self.loader


class Endless(Digits):
    """An infinite stream of digits."""

    def train_dataloader(self):
        return EndlessLoader(super().train_dataloader())
