"""Word2vec: its losses, its speedups, and what it learns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from primer.batch import Batch
from primer.data.text.word_context import WordContext
from primer.errors import InputError
from primer.models.embeddings.word2vec import EVAL_NOISE, Word2Vec
from primer.models.layers.huffman import huffman_codes
from primer.optim import Formula, RowClippedSGD, Schedule
from primer.spec import Context, Spec, Tokens

WORDS = ("<pad>", "<unk>", *(f"w{k}" for k in range(40)))
SPEC = Spec(Tokens(WORDS), Context((0, 0, *range(45, 5, -1))))
WINDOW = 2


def model(**settings: Any) -> Word2Vec:
    """Returns a model with random vectors."""
    torch.manual_seed(0)
    made = Word2Vec(SPEC, **{"vector_size": 8, "window": WINDOW, **settings})
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made.eval()


@pytest.fixture
def run() -> Batch:
    """Ninety words, in sentences of 1 to 9 words."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 10, (30,), generator=generator)
    sentences = torch.repeat_interleave(torch.arange(30), lengths)[:90]
    return Batch(torch.randint(2, len(WORDS), (90,), generator=generator), sentences)


def pairs(run: Batch) -> list[tuple[int, list[int]]]:
    """Returns the position of each word with the positions of its context."""
    assert run.targets is not None
    sentences = run.targets.tolist()
    return [
        (k, [j for j in range(k - WINDOW, k + WINDOW + 1)
             if j != k and 0 <= j < len(sentences) and sentences[j] == sentences[k]])
        for k in range(len(sentences))
    ]  # fmt: skip


def slow_loss(network: Word2Vec, run: Batch) -> tuple[float, int]:
    """Returns the sum of the losses, pair by pair, and their number."""
    words, total, count = run.inputs, 0.0, 0
    vectors, contexts = network.words.weight, network.contexts.weight

    def loss_of(vector: torch.Tensor, word: int) -> float:
        loss = 0.0
        if network.negative:
            noise = contexts[network.eval_noise] @ vector
            loss += F.softplus(-contexts[word] @ vector) + F.softplus(noise).sum() * network.negative / EVAL_NOISE
        if network.nodes is not None:
            for node, turn, real in zip(*(part[word] for part in codes), strict=True):
                loss += real * F.softplus((1 - 2 * turn) * (network.nodes.weight[node] @ vector))
        return float(loss)

    codes = huffman_codes(SPEC.target.occurrences)  # type: ignore[union-attr]
    for k, context in pairs(run):
        if network.architecture == "cbow" and context:
            total, count = total + loss_of(vectors[words[context]].mean(0), int(words[k])), count + 1
        elif network.architecture == "skip_gram":
            total += sum(loss_of(vectors[words[k]], int(words[j])) for j in context)
            count += len(context)
    return total, count


@pytest.mark.parametrize("architecture", ["skip_gram", "cbow"])
@pytest.mark.parametrize("settings", [{"negative": 5}, {"negative": 0, "hs": True}, {"negative": 3, "hs": True}])
def test_the_loss_equals_that_of_a_loop_over_pairs(architecture: Any, settings: dict[str, Any], run: Batch) -> None:
    network = model(architecture=architecture, **settings)
    with torch.no_grad():
        step = network.step(run)
        total, count = slow_loss(network, run)
    assert step.count == count
    assert step.loss.item() == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("architecture", ["skip_gram", "cbow"])
def test_the_evaluation_loss_does_not_depend_on_the_batch_size(architecture: Any, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the cat sat on the mat . a dog saw the cat ! so what ? " * 20)
    losses = []
    for size in (5, 64, 4096):
        data = WordContext(path="text.txt", data_dir=tmp_path, min_count=1, eval_batch_size=size).prepare()
        torch.manual_seed(0)
        network = Word2Vec(data.spec, architecture=architecture, vector_size=8).eval()
        torch.nn.init.normal_(network.contexts.weight)
        steps = [network.step(batch) for batch in data.loader("test", train=False)]
        losses.append(sum(step.loss.item() * float(step.count) for step in steps) / sum(float(s.count) for s in steps))
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def test_the_window_is_drawn_for_each_word_in_training(run: Batch) -> None:
    network = model(window=5).train()
    assert run.targets is not None
    one_sentence = torch.zeros(len(run.inputs), dtype=torch.long)
    torch.manual_seed(0)
    reach = torch.cat([network.split(run.inputs, one_sentence)[2] for _ in range(200)]).sum(-1)[:, 5:-5]
    inner = reach[0::3]  # The first block is complete.
    assert set(inner[:, :20].flatten().tolist()) == {2.0, 4.0, 6.0, 8.0, 10.0}


def test_noise_words_follow_the_power_of_their_frequencies() -> None:
    network = model(ns_exponent=0.5).train()
    torch.manual_seed(0)
    drawn = torch.bincount(network.draw_noise(2000).flatten(), minlength=len(WORDS)).double()
    expected = torch.tensor(SPEC.target.occurrences, dtype=torch.float64) ** 0.5  # type: ignore[union-attr]
    assert drawn[:2].sum() == 0
    assert torch.allclose(drawn / drawn.sum(), expected / expected.sum(), atol=2e-3)


@pytest.mark.parametrize("architecture", ["skip_gram", "cbow"])
def test_a_run_whose_words_are_all_left_out_has_no_loss(architecture: Any, run: Batch) -> None:
    nothing = Batch(run.inputs[:0], run.targets[:0])  # type: ignore[index]
    step = model(architecture=architecture).step(nothing)
    assert step.loss == 0
    assert step.count == 0


def test_a_step_sums_the_gradients_of_all_pairs(run: Batch, quiet_trainer: Callable[..., Any]) -> None:
    def weights(accumulate: int, lr: float = 0.1) -> torch.Tensor:
        network = model(architecture="cbow")
        network.train = lambda mode=True: network  # type: ignore[method-assign]  # No random windows.
        network.optimizer = partial(torch.optim.SGD, lr=lr)
        batches = torch.utils.data.DataLoader([run] * 2, batch_size=None)
        trainer = quiet_trainer(max_epochs=1, accumulate_grad_batches=accumulate, limit_val_batches=0)
        trainer.fit(network, batches)
        return network.contexts.weight.detach()

    reference = model(architecture="cbow")
    step = reference.step(run)
    (step.loss * step.count).backward()
    gradient = reference.contexts.weight.grad.to_dense()  # type: ignore[union-attr]
    assert torch.allclose(weights(2), reference.contexts.weight.detach() - 0.1 * 2 * gradient, atol=1e-5)


def test_huffman_codes_are_prefix_free_and_as_short_as_possible() -> None:
    counts = (0, 0, 8, 1, 1, 2, 4)
    codes = huffman_codes(counts)
    assert codes.mask.sum(1).tolist() == [0, 0, 1, 4, 4, 3, 2]
    spelled = {
        tuple(turn for turn, real in zip(*rows, strict=True) if real)
        for rows in zip(codes.turns.tolist(), codes.mask.tolist(), strict=True)
        if any(rows[1])
    }
    assert len(spelled) == 5
    assert codes.nodes.max() == 3


def test_invalid_settings_are_rejected() -> None:
    with pytest.raises(InputError, match="negative=0 leaves no loss"):
        Word2Vec(SPEC, negative=0)
    for name, value in (("window", 0), ("negative", -1), ("vector_size", 0)):
        with pytest.raises(InputError, match=f"{name} must be at least"):
            Word2Vec(SPEC, **{name: value})


def test_words_of_the_same_contexts_get_similar_vectors(
    tmp_path: Path, quiet_trainer: Callable[..., Any], record_figure: Callable[[str], None]
) -> None:
    generator = torch.Generator().manual_seed(0)
    groups = (("cat", "dog", "cow"), ("red", "blue", "green"))
    lines = []
    for draw in torch.randint(3, (1500, 4), generator=generator).tolist():
        side = draw[3] % 2
        frame = ("eats", "sleeps", "runs") if side == 0 else ("paint", "light", "shade")
        lines.append(f"{groups[side][draw[0]]} {frame[draw[1]]} {frame[draw[2]]} .")
    (tmp_path / "text.txt").write_text("\n".join(lines))
    data = WordContext(path="text.txt", data_dir=tmp_path, sample=0, batch_size=256).prepare()
    torch.manual_seed(0)
    network = Word2Vec(data.spec, vector_size=16, window=3)
    network.optimizer = RowClippedSGD
    network.schedule = Schedule(partial(Formula, formula="1 - t / T"), interval="step")
    quiet_trainer(max_epochs=5).fit(network, datamodule=data)
    words = {word: F.normalize(network.vectors()[k], dim=0) for k, word in enumerate(data.spec.input.vocabulary)}  # type: ignore[union-attr]
    same = min(float(words[a] @ words[b]) for group in groups for a in group for b in group)
    other = max(float(words[a] @ words[b]) for a in groups[0] for b in groups[1])
    record_figure(f"word2vec: cosine within groups at least {same:.3f}, between groups at most {other:.3f}")
    assert same > other + 0.3


def test_a_run_resumed_within_an_epoch_equals_an_uninterrupted_one(run_in_process, tmp_path: Path) -> None:
    text = "\n".join(f"the word w{k % 7} is near w{(k + 1) % 7} and far from w{(k + 3) % 7} ." for k in range(200))
    (tmp_path / "text.txt").write_text(text)
    common = (
        "model=word2vec", f"data.path={tmp_path}/text.txt", "data.batch_size=64", "data.sample=0.05",
        "trainer.max_epochs=2",
        "model.vector_size=8", "model.hs=true", "scheduler=none", "accelerator=cpu", "~callbacks.pictures",
        "~callbacks.report",
    )  # fmt: skip

    def weights(folder: Path) -> dict[str, torch.Tensor]:
        return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]

    whole = run_in_process("train.py", *common)
    assert whole.status == 0, whole.err
    stopped = run_in_process("train.py", *common, "trainer.max_steps=10")
    resumed = run_in_process("train.py", f"resume={stopped.folder}", "trainer.max_steps=-1")
    assert resumed.status == 0, resumed.err
    for name, value in weights(whole.folder).items():
        assert torch.equal(weights(resumed.folder)[name], value), name
