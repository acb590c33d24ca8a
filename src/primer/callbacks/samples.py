"""A sample at the end of a test: how a model of the next token continues a prompt."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from lightning import Callback, Trainer

from primer.data.text.segments import TokenStream
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.sampling import check_sampling, generate
from primer.records.console import say
from primer.spec import UNKNOWN, NextToken


class Samples(Callback):
    """Lets a model continue a prompt, and has the data set write the whole: a text as ``sample.txt``, music as
    ``sample.mid`` and ``sample.json``. It does nothing for models of anything but the next token. A sample that fails
    costs a line, never the run.

    Args:
        dirpath: the folder of the files.
        prompt: what is continued, as the data set writes it; by default how its test part starts.
        length: how many tokens are sampled; 0 for no sample.
        temperature, top_k, top_p: as in ``primer.models.layers.sampling.probabilities``.
        seed: of what is drawn; None takes that of the run, and so always draws the same.

    Raises:
        ValueError: for a negative number, or a setting out of its range; and before a run starts, for a prompt that
            holds what the training part does not have.
    """

    def __init__(
        self,
        dirpath: str | Path,
        prompt: str | None = None,
        length: int = 512,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> None:
        if length < 0:
            raise InputError(f"samples.length must be at least 0, not {length}")
        try:
            check_sampling(temperature, top_k, top_p)
        except InputError as error:
            raise InputError(f"samples.{error}") from None
        self.dirpath, self.prompt, self.length = Path(dirpath), prompt, length
        self.temperature, self.top_k, self.top_p, self.seed = temperature, top_k, top_p, seed

    def setup(self, trainer: Trainer, pl_module: Model, stage: str) -> None:
        data = self._data(trainer, pl_module)
        if data is None or not self.prompt:
            return
        try:
            known = (data.prompt(self.prompt) != UNKNOWN).all()
        except InputError as error:
            raise InputError(f"samples.prompt: {error}") from None
        if not known:
            strange = [repr(sign) for sign in dict.fromkeys(self.prompt) if UNKNOWN in data.prompt(sign)]
            raise InputError(f"samples.prompt: the training part has no {', '.join(strange)}")

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        data = self._data(trainer, pl_module)
        if data is None:
            return
        try:
            prompt = data.prompt(self.prompt)
            generator = torch.Generator().manual_seed(torch.initial_seed() if self.seed is None else self.seed)
            with trainer.precision_plugin.forward_context():  # In each process: weights may be spread over them.
                sampled = generate(
                    pl_module,  # type: ignore[arg-type]
                    prompt[None].to(pl_module.device),
                    self.length,
                    self.temperature,
                    self.top_k,
                    self.top_p,
                    generator,
                )
            if trainer.is_global_zero:
                data.write_sample(torch.cat([prompt.cpu(), sampled[0].cpu()]), len(prompt), self.dirpath)
        except Exception as error:
            logging.getLogger(__name__).warning("the sample", exc_info=True)
            reason = " ".join(str(error).split())
            say(f"warning: no sample was written to {self.dirpath.name}: {type(error).__name__}: {reason}")

    def _data(self, trainer: Trainer, pl_module: Model) -> TokenStream | None:
        """Where the prompt comes from; None where there is nothing to sample."""
        data = getattr(trainer, "datamodule", None)
        speaks = isinstance(pl_module.spec.target, NextToken) and hasattr(pl_module, "forward_with_state")
        return data if speaks and self.length and isinstance(data, TokenStream) else None
