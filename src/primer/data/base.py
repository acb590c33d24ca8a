"""Base class of every data set: read, split, fit the spec, encode, and build data loaders."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch

from primer.batch import Batch
from primer.data.loading.class_counts import count_classes
from primer.data.loading.image_format import image_converter
from primer.data.loading.loader import Loader, TensorLoader
from primer.data.loading.scaling import standardize
from primer.data.loading.splits import Part, Records, Splits
from primer.data.loading.stream import Stream, StreamLoader
from primer.data.readers.vocabulary import SPECIAL
from primer.data.source import DataSource
from primer.errors import InputError
from primer.regularization.augmentation import Augmentation
from primer.spec import Image, Input, MaskedToken, NextToken, Spec, Tags, Tokens, recording_of

STEPPED = Tags | MaskedToken | NextToken
"""Types of targets with one entry per step of the input."""


class DataModule(Splits, DataSource):
    """A data set with a training, a validation and a test part, described by a spec.

    A subclass defines how samples are read, what is estimated from the training part, and how samples become
    tensors. Splits and folds (see ``Splits``) and data loaders are the same for all data sets. The class attributes
    ``inputs`` and ``targets`` name the types it provides, so that an incompatible model is rejected before any data
    is read.

    A published test part stays the test part; if there is none, a fraction of the samples is held out. With
    ``folds``, fold ``fold`` is the test part (or the validation part if a test part is published), and the other
    folds are used for training.

    Args:
        batch_size: samples per training batch, summed over devices; ``full`` for the whole training part.
        eval_batch_size: samples per validation or test batch. Metrics do not depend on it.
        val_fraction: fraction of all samples held out for validation; 0 for none.
        test_fraction: fraction of all samples held out for testing, if no test part is published.
        split_seed: seed of the split only, so that runs with different values of ``seed`` share a split.
        folds: number of cross-validation folds.
        fold: index of the held-out fold, from 0.
        train_size: number of training samples to use; all by default.
        positive: with two classes, the name of the one that precision, recall and F1 are of. By default, the rarer one
            in the training part; if each has at least 45 % of the samples, the second one.
        data_dir: folder of downloads and data files.
        augmentation: one augmentation, or several applied in order, for training batches.

    Attributes:
        known_words, known_letters: words, and letters of words, that are in the vocabulary in any case; see
            ``adopt_vocabulary``.

    Raises:
        InputError: if a fraction or a fold is out of range, or too few samples are left for a part.
    """

    def __init__(
        self,
        *,
        batch_size: int | Literal["full"] = 64,
        eval_batch_size: int = 1024,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split_seed: int = 0,
        folds: int | None = None,
        fold: int = 0,
        train_size: int | None = None,
        positive: str | float | None = None,
        data_dir: str | Path = "data",
        augmentation: Augmentation | Sequence[Augmentation] | None = None,
    ) -> None:
        super().__init__()
        if not (0 <= val_fraction < 1 and 0 <= test_fraction < 1 and val_fraction + test_fraction < 1):
            raise InputError(
                f"val_fraction={val_fraction}, test_fraction={test_fraction}: "
                "each must be at least 0, and their sum less than 1"
            )
        if folds is not None and folds < 2:
            raise InputError(f"folds must be at least 2, not {folds}")
        if folds is not None and not 0 <= fold < folds:
            raise InputError(f"fold must be from 0 to {folds - 1} with folds={folds}, not {fold}")
        if batch_size != "full" and (isinstance(batch_size, str) or batch_size < 1):
            raise InputError(f"batch_size must be at least 1 or 'full', not {batch_size}")
        if eval_batch_size < 1:
            raise InputError(f"eval_batch_size must be at least 1, not {eval_batch_size}")
        if train_size is not None and train_size < 1:
            raise InputError(f"train_size must be at least 1, not {train_size}")
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed
        self.folds, self.fold, self.train_size = folds, fold, train_size
        self.positive = None if positive is None else str(positive)
        self.data_dir = Path(os.path.expanduser(data_dir))
        self.augmentation = [augmentation] if callable(augmentation) else list(augmentation or ())
        self.parts: dict[Part, Batch | Stream] = {}
        self.known_words: tuple[str, ...] = ()
        self.known_letters: tuple[str, ...] = ()
        self._spec: Spec | None = None
        self._native: Input | None = None
        self._show: Callable[[torch.Tensor], torch.Tensor] | None = None

    # What a subclass defines.

    def download(self) -> None:
        """Downloads files missing from ``data_dir``. Does nothing by default."""

    @abstractmethod
    def read(self) -> dict[Part, Records]:
        """Returns all samples under ``train``, and the published ``val`` and ``test`` parts if there are any."""

    @abstractmethod
    def fit_spec(self, train: Any) -> Spec:
        """Returns the spec. Mean, scale, vocabulary etc. are estimated from the training part only."""

    @abstractmethod
    def encode(self, records: Any) -> Batch | Stream:
        """Converts samples to tensors, or to a stream if they do not fit in memory. Called after ``fit_spec``."""

    def describe_training_set(self) -> str:
        """Returns a phrase that describes the training set, for error messages."""
        return f"the {self.train_size} training samples (data.train_size)" if self.train_size else "the training part"

    def labels(self, records: Any) -> np.ndarray | None:
        """Returns one label per sample for stratified splits, or None if there are no labels."""
        return None

    def stored(self, part: Part, train: bool) -> Batch | Stream:
        """Returns the data of a part for training or evaluation: that from ``encode`` by default."""
        return self.parts[part]

    def target_lengths(self, data: Batch, train: bool) -> torch.Tensor | None:
        """Returns how many target steps of each sample to use in training or evaluation; None for all."""
        return None

    def batch_transform(self) -> Callable[[Batch], Batch] | None:
        """Returns a function that expands each batch from ``encode``'s compact form to the form described by the spec;
        None if the two are the same."""
        return None

    # What callers use.

    @property
    def spec(self) -> Spec:
        """The spec of inputs and targets; available once the data is prepared."""
        if self._spec is None:
            raise RuntimeError("the data has not been read yet: call prepare() first")
        return self._spec

    def sizes(self) -> dict[str, int]:
        """The number of samples in each part."""
        return {part: data.size for part, data in self.parts.items()}

    def prepare(self) -> Self:
        """Downloads, reads, splits and encodes the data, if not already done. Returns self."""
        self.prepare_data()
        self.setup()
        return self

    def prepare_data(self) -> None:
        """Lightning hook, called in one process."""
        if not self.parts:
            self.download()

    def setup(self, stage: str | None = None) -> None:
        """Lightning hook, called in every process."""
        if self.parts:
            return
        records = self.split(self.read())
        self._spec = self.fit_spec(records["train"])
        self.parts = {part: self.encode(some) for part, some in records.items()}
        self._spec = Spec(self._spec.input, count_classes(self._spec.target, self.parts["train"], self.positive))

    def adopt_vocabulary(self, tokens: Tokens) -> None:
        """Adds the words and letters that trained weights know to the vocabulary, so that those seen in pre-training
        are known in fine-tuning, whether or not they occur in the training part. Call it before ``prepare``; data sets
        without words of their own ignore it."""
        self.known_words = tokens.vocabulary[len(SPECIAL) :]
        self.known_letters = tokens.characters[len(SPECIAL) :]

    def choose_input(self, accepted: Any) -> None:
        """Presents the samples as a type of input that a model accepts, if the data set has several. Called before a
        model is built.

        Args:
            accepted: a type of input, or a union of several.
        """

    def set_image_format(self, image: Image) -> None:
        """Converts images to another format from now on: the channels, size, mean and standard deviation of ``image``
        instead of the data set's own."""
        self._native = self._native or self.spec.input
        native = self._native
        assert isinstance(native, Image)
        self._show = image_converter(native, image)
        shape = (native.channels, native.height, native.width) if self._show else ()
        image = replace(image, maximum=native.maximum, native=shape, recording=native.recording)
        self._spec = Spec(image, self.spec.target)

    def train_dataloader(self) -> Loader:
        return self.loader("train", train=True)

    def val_dataloader(self) -> Loader | list[Any]:
        return self.loader("val", train=False) if self.parts["val"].size else []

    def test_dataloader(self) -> Loader:
        return self.loader(self.test_part, train=False)

    def predict_dataloader(self) -> Loader:
        return self.loader(self.test_part, train=False, bucket=False)

    def loader(self, part: Part, train: bool, bucket: bool = True) -> Loader:
        """Returns a loader over one part: shuffled and augmented if ``train``, on the trainer's device if there is a
        trainer. With ``bucket``, samples of similar length share a batch; otherwise, unshuffled samples stay in
        order."""
        data = self.stored(part, train)
        size = self.batch_size if train else self.eval_batch_size
        settings: dict[str, Any] = {
            "batch_size": max(1, data.size) if isinstance(size, str) else size,
            "shuffle": train and size != "full",
            "transform": self._transform(train),
            "repeatable": not train,
            **self.placement(),
        }
        if isinstance(data, Stream):
            return StreamLoader(data, **settings)
        settings |= {"lengths": data.lengths if bucket else None, "target_lengths": self.target_lengths(data, train)}
        return TensorLoader(data, tagged=isinstance(self.spec.target, STEPPED), **settings)

    def whole(self, part: Part) -> Batch:
        """All samples of a part, in one batch and in order, as a model receives them in evaluation.

        Raises:
            InputError: if the part is read from disk batch by batch.
        """
        data = self.stored(part, train=False)
        if isinstance(data, Stream):
            raise InputError(f"the {part} part does not fit in memory, so no model can be fitted to all of it at once")
        settings = {
            "tagged": isinstance(self.spec.target, STEPPED),
            "transform": self._transform(train=False),
        }
        loader = TensorLoader(data, max(1, data.size), **settings)
        return next(iter(loader))

    def placement(self) -> dict[str, Any]:
        """Returns loader settings: the trainer's device, if there is a trainer, and this process's rank."""
        trainer = self.trainer
        return {
            "device": trainer.strategy.root_device if trainer else "cpu",
            "rank": trainer.global_rank if trainer else 0,
            "world_size": trainer.world_size if trainer else 1,
        }

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Lightning hook. The loader has already moved the batch to the device."""
        return (
            batch.to(device)
            if isinstance(batch, Batch)
            else super().transfer_batch_to_device(batch, device, dataloader_idx)
        )

    def _transform(self, train: bool):
        scale, show = standardize(self.spec.input), self._show
        raw = Spec(self._native or self.spec.input, self.spec.target)
        views = getattr(self.trainer.lightning_module, "views", 1) if self.trainer else 1
        steps = self.augmentation if train or views > 1 else []
        if views > 1 and not steps:
            raise InputError(
                f"{type(self.trainer.lightning_module).__name__} learns from {views} augmented views of each sample: "  # type: ignore[union-attr]
                "choose how, such as regularization/augmentation=crop_flip"
            )
        for step in steps:
            accepted = getattr(step, "inputs", object)  # A plain function takes any batch.
            if not (isinstance(raw.input, accepted) or isinstance(recording_of(raw.input), accepted)):
                name, kind = type(step).__name__, type(raw.input).__name__
                raise InputError(f"the augmentation {name} does not apply to inputs of type {kind}")
        first = [step for step in steps if getattr(step, "compact", False)]
        steps = [step for step in steps if step not in first]
        unpack = self.batch_transform()
        if scale is None and unpack is None and not steps and not first:
            return None

        def transform(batch: Batch, generator: torch.Generator) -> Batch:
            batch = batch if views == 1 else batch.repeat(views)
            for step in first:
                batch = step(batch, generator, raw)
            batch = batch if unpack is None else unpack(batch)
            for step in steps:
                batch = step(batch, generator, raw)
            inputs = batch.inputs if show is None else show(batch.inputs)
            return batch if scale is None else batch._replace(inputs=scale(inputs))

        return transform
