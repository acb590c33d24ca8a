"""GloVe, and the counts that it is fitted to."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from primer.batch import Batch
from primer.data.text.cooccurrence import Cooccurrences, count_pairs
from primer.errors import InputError
from primer.models.embeddings.glove import GloVe
from primer.spec import Cooccurrence, Spec, Tokens

SPEC = Spec(Tokens(("<pad>", "<unk>", *"abcdef")), Cooccurrence())


def test_pairs_are_counted_by_the_inverse_of_their_distance() -> None:
    generator = np.random.default_rng(0)
    words, sentences = generator.integers(0, 6, 80), np.repeat(np.arange(8), 10)
    expected: Counter[tuple[int, int]] = Counter()
    for k in range(80):
        for j in range(k + 1, min(80, k + 4)):
            if sentences[k] == sentences[j]:
                pair = sorted((int(words[k]), int(words[j])))
                expected[pair[0], pair[1]] += 1 / (j - k)  # type: ignore[assignment]
    pairs, counts = count_pairs(words, sentences, 6, window=3)
    counted = {(a, b): count for (a, b), count in zip(pairs.tolist(), counts.tolist(), strict=True)}
    assert counted == pytest.approx(dict(expected))


def test_both_orders_of_a_pair_are_in_the_same_part(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a b c d e f g a a c e g b d f . " * 30)
    data = Cooccurrences(path="text.txt", data_dir=tmp_path, min_count=1, window=2, test_fraction=0.3).prepare()
    seen: dict[tuple[int, int], str] = {}
    for part, batch in data.parts.items():
        assert isinstance(batch, Batch)
        assert batch.targets is not None
        found = {tuple(pair): count for pair, count in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True)}
        assert all(found[b, a] == count for (a, b), count in found.items())
        assert not seen.keys() & found.keys()
        seen |= dict.fromkeys(found, part)  # type: ignore[arg-type]


def test_the_loss_is_the_weighted_squared_error() -> None:
    torch.manual_seed(0)
    model = GloVe(SPEC, vector_size=4, x_max=10.0, alpha=0.5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    pairs, counts = torch.tensor([[2, 3], [4, 4]]), torch.tensor([2.5, 90.0])
    expected = []
    for (a, b), count in zip(pairs.tolist(), counts.tolist(), strict=True):
        product = float(model.words.weight[a] @ model.contexts.weight[b])
        predicted = product + model.word_biases.weight[a].item() + model.context_biases.weight[b].item()
        expected.append(min(1.0, (count / 10) ** 0.5) * (predicted - math.log(count)) ** 2)
    step = model.step(Batch(pairs, counts))
    assert step.count == 2
    assert step.loss.item() == pytest.approx(sum(expected) / 2, rel=1e-5)
    assert torch.equal(model.vectors(), model.words.weight + model.contexts.weight)


def test_it_fits_a_table_of_counts(quiet_trainer: Callable[..., Any], record_figure: Callable[[str], None]) -> None:
    pairs = torch.cartesian_prod(torch.arange(2, 8), torch.arange(2, 8))
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(6, 2, generator=generator)
    counts = (factors @ factors.T + 2).exp().flatten()
    torch.manual_seed(0)
    model = GloVe(SPEC, vector_size=8, x_max=1.0)
    model.optimizer = partial(torch.optim.Adagrad, lr=0.5, initial_accumulator_value=1.0)
    batch = Batch(pairs, counts)
    before = model.step(batch).loss.item()
    quiet_trainer(max_steps=200).fit(model, torch.utils.data.DataLoader([batch] * 200, batch_size=None))
    after = model.eval().step(batch).loss.item()
    record_figure(f"glove: loss {after:.2g} on one batch, before training {before:.2g}")
    assert after < 0.01 * before


def test_invalid_settings_are_rejected() -> None:
    for name in ("x_max", "alpha"):
        with pytest.raises(InputError, match=name):
            GloVe(SPEC, **{name: 0.0})
    with pytest.raises(InputError, match="window must be at least 1"):
        Cooccurrences(window=0)


def test_a_run_saves_vectors_and_resumes_exactly(run_in_process, tmp_path: Path) -> None:
    text = "\n".join(f"the word w{k % 9} is near w{(k + 1) % 9} and far from w{(k + 3) % 9} ." for k in range(200))
    (tmp_path / "text.txt").write_text(text)
    common = (
        "model=glove", f"data.path={tmp_path}/text.txt", "data.batch_size=16", "trainer.max_epochs=2",
        "model.vector_size=8", "accelerator=cpu", "~callbacks.pictures", "~callbacks.report",
    )  # fmt: skip

    def state(folder: Path) -> dict[str, torch.Tensor]:
        return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]

    whole = run_in_process("train.py", *common)
    assert whole.status == 0, whole.err
    assert (whole.folder / "vectors.txt").is_file()
    assert json.loads((whole.folder / "metrics.json").read_text())["test/loss"] > 0
    stopped = run_in_process("train.py", *common, "trainer.max_steps=7")
    resumed = run_in_process("train.py", f"resume={stopped.folder}", "trainer.max_steps=-1")
    assert resumed.status == 0, resumed.err
    assert all(torch.equal(state(resumed.folder)[name], value) for name, value in state(whole.folder).items())
