"""Language models learn: they beat the counts of three tokens in a row, on the same tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from helpers.ngram_models import frequencies, interpolated

from primer.data.text.music import Music
from primer.data.text.text import Text
from primer.data.text.token_stream import TokenStream
from primer.models.recurrent.lstm import LSTM
from primer.optim import Schedule


def trigram(data: TokenStream) -> float:
    train, val, test = (data.parts[part].inputs for part in ("train", "val", "test"))  # type: ignore[union-attr]
    return interpolated(train, val, test, len(data.spec.input.vocabulary))  # type: ignore[union-attr]


def learnt(data: TokenStream, trainer: Any, epochs: int) -> float:
    """The test loss of a small LSTM."""
    torch.manual_seed(0)
    model = LSTM(data.spec, embedding_size=32, hidden_size=64)
    model.optimizer = partial(torch.optim.Adam, lr=0.02)
    one_cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.02)
    model.schedule = Schedule(one_cycle, interval="step")
    made = trainer(max_epochs=epochs, gradient_clip_val=1.0, limit_val_batches=0)
    made.fit(model, data)
    return made.test(model, data, verbose=False)[0]["test/loss"]


def test_an_lstm_beats_a_trigram_on_the_documentation_of_python(
    quiet_trainer: Any, record_figure: Callable[[str], None]
) -> None:
    data = Text(train_size=100_000, batch_size=8, sequence_length=40, eval_streams=64).prepare()
    baseline, loss = trigram(data), learnt(data, quiet_trainer, epochs=3)
    record_figure(
        f"100,000 characters of Python's documentation: LSTM {loss:.3f} nats a character, trigram {baseline:.3f}"
    )
    assert loss < baseline - 0.1


def test_an_lstm_beats_a_trigram_on_the_chorales(
    quiet_trainer: Any, data_dir_or_skip: Any, record_figure: Callable[[str], None]
) -> None:
    file = data_dir_or_skip("music/chorales.json")
    data = Music(path=str(file), batch_size=8, sequence_length=64, eval_streams=64).prepare()
    baseline, loss = trigram(data), learnt(data, quiet_trainer, epochs=1)
    record_figure(f"Bach's chorales: LSTM {loss:.3f} nats a note, trigram {baseline:.3f}")
    assert loss < baseline - 0.5


def test_the_frequencies_of_the_trigram_are_counted_right() -> None:
    train, stream = np.array([0, 1, 0, 1, 1, 0, 1]), np.array([0, 1, 0, 0, 1])
    shares, seen = frequencies(train, stream, 2, 3)
    # Of each token but the first: of two tokens one, its share, after the token before it, after both before it.
    wanted = [
        [1 / 2, 4 / 7, 3 / 3, 0],  # 1 after 0; nothing is two places before it.
        [1 / 2, 3 / 7, 2 / 3, 1 / 2],  # 0 after 01.
        [1 / 2, 3 / 7, 0 / 3, 0 / 2],  # 0 after 10.
        [1 / 2, 4 / 7, 3 / 3, 0],  # 1 after 00, which is nowhere.
    ]
    np.testing.assert_allclose(shares, wanted)
    assert seen.tolist() == [0, 2, 2, 0]


def test_the_trigram_finds_a_rule_of_two_tokens() -> None:
    """Each token is the exclusive or of the two before it, with some noise: bigrams see none of it."""
    chance = np.random.default_rng(0)
    tokens = [0, 1]
    for noisy in chance.random(9000) < 0.1:
        tokens.append((tokens[-1] ^ tokens[-2]) ^ noisy)
    train, tune, test, _ = torch.tensor(tokens).split(3000)
    entropy = -(0.1 * np.log(0.1) + 0.9 * np.log(0.9))
    assert interpolated(train, tune, test, 2) == pytest.approx(entropy, abs=0.02)
    assert interpolated(train, tune, test, 2, order=2) == pytest.approx(np.log(2), abs=0.02)
    assert all(interpolated(train, tune, test, size, order) > 0 for size, order in product((2, 50), (1, 2, 4)))
