"""Language models beat an interpolated trigram model on the same tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from helpers.ngram_models import interpolated_nll, relative_frequencies

from primer.data.text.music import Music
from primer.data.text.text import Text
from primer.data.text.token_stream import TokenStream
from primer.models.recurrent.lstm import LSTM
from primer.models.transformers.gpt import GPT
from primer.optim import Muon, Schedule


def trigram_nll(data: TokenStream) -> float:
    train, val, test = (data.parts[part].inputs for part in ("train", "val", "test"))  # type: ignore[union-attr]
    return interpolated_nll(train, val, test, len(data.spec.input.vocabulary))  # type: ignore[union-attr]


def lstm_nll(data: TokenStream, trainer: Any, epochs: int) -> float:
    """Trains a small LSTM and returns its test loss."""
    torch.manual_seed(0)
    model = LSTM(data.spec, embedding_size=32, hidden_size=64)
    model.optimizer = partial(torch.optim.Adam, lr=0.02)
    one_cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.02)
    model.schedule = Schedule(one_cycle, interval="step")
    fitter = trainer(max_epochs=epochs, gradient_clip_val=1.0, limit_val_batches=0)
    fitter.fit(model, data)
    return fitter.test(model, data, verbose=False)[0]["test/loss"]


def test_an_lstm_beats_a_trigram_model_on_python_documentation(
    quiet_trainer: Any, record_figure: Callable[[str], None]
) -> None:
    data = Text(train_size=100_000, batch_size=8, sequence_length=40, eval_streams=64).prepare()
    baseline, loss = trigram_nll(data), lstm_nll(data, quiet_trainer, epochs=3)
    record_figure(
        f"100,000 characters of Python's documentation: LSTM {loss:.3f} nats per character, trigram {baseline:.3f}"
    )
    assert loss < baseline - 0.1


def test_a_gpt_beats_a_trigram_model_on_python_documentation(
    quiet_trainer: Any, record_figure: Callable[[str], None]
) -> None:
    data = Text(train_size=100_000, batch_size=8, sequence_length=64, eval_stride=32, eval_streams=64).prepare()
    torch.manual_seed(0)
    model = GPT(data.spec, 64, 4, 2, context_length=64, position="rotary", activation="relu2", qk_norm=True)
    model.optimizer = partial(Muon, lr=0.02)
    model.schedule = Schedule(
        partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.02, cycle_momentum=False), interval="step"
    )
    trainer = quiet_trainer(max_epochs=2, gradient_clip_val=1.0, limit_val_batches=0)
    trainer.fit(model, data)
    baseline, loss = trigram_nll(data), trainer.test(model, data, verbose=False)[0]["test/loss"]
    record_figure(
        f"100,000 characters of Python's documentation: GPT {loss:.3f} nats per character, trigram {baseline:.3f}"
    )
    assert loss < baseline - 0.1


def test_an_lstm_beats_a_trigram_model_on_bach_chorales(
    quiet_trainer: Any, data_dir_or_skip: Any, record_figure: Callable[[str], None]
) -> None:
    file = data_dir_or_skip("music/chorales.json")
    data = Music(path=str(file), batch_size=8, sequence_length=64, eval_streams=64).prepare()
    baseline, loss = trigram_nll(data), lstm_nll(data, quiet_trainer, epochs=1)
    record_figure(f"Bach's chorales: LSTM {loss:.3f} nats per note, trigram {baseline:.3f}")
    assert loss < baseline - 0.5


def test_relative_frequencies_of_trigrams() -> None:
    train, stream = np.array([0, 1, 0, 1, 1, 0, 1]), np.array([0, 1, 0, 0, 1])
    probs, contexts = relative_frequencies(train, stream, 2, 3)
    # For each token but the first: uniform, 1-gram, 2-gram, 3-gram.
    expected = [
        [1 / 2, 4 / 7, 3 / 3, 0],  # 1 after 0; there is no token before that.
        [1 / 2, 3 / 7, 2 / 3, 1 / 2],  # 0 after 01.
        [1 / 2, 3 / 7, 0 / 3, 0 / 2],  # 0 after 10.
        [1 / 2, 4 / 7, 3 / 3, 0],  # 1 after 00, which does not occur.
    ]
    np.testing.assert_allclose(probs, expected)
    assert contexts.tolist() == [0, 2, 2, 0]


def test_trigrams_learn_a_rule_that_depends_on_two_tokens() -> None:
    """Each token is the exclusive or of the two previous tokens, with 10 % noise. Bigrams carry no information."""
    generator = np.random.default_rng(0)
    tokens = [0, 1]
    for noisy in generator.random(9000) < 0.1:
        tokens.append((tokens[-1] ^ tokens[-2]) ^ noisy)
    train, tune, test, _ = torch.tensor(tokens).split(3000)
    entropy = -(0.1 * np.log(0.1) + 0.9 * np.log(0.9))
    assert interpolated_nll(train, tune, test, 2) == pytest.approx(entropy, abs=0.02)
    assert interpolated_nll(train, tune, test, 2, order=2) == pytest.approx(np.log(2), abs=0.02)
    assert all(interpolated_nll(train, tune, test, size, order) > 0 for size, order in product((2, 50), (1, 2, 4)))
