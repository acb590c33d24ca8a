"""Attention maps: when they are drawn, what they show, and that they never stop a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from primer.callbacks import AttentionMaps
from primer.callbacks.attention import attention_heads, attention_map
from primer.data.base import DataModule
from primer.data.images.digits import Digits
from primer.data.text.dates import Dates
from primer.data.text.masked_text import MaskedText
from primer.data.text.text import Text
from primer.errors import InputError
from primer.models.encoder_decoder.seq2seq import Seq2Seq
from primer.models.encoder_decoder.transformer import Transformer
from primer.models.feedforward.linear import Linear
from primer.models.transformers.bert import BERT
from primer.models.transformers.gpt import GPT


@pytest.fixture(scope="module")
def data() -> Dates:
    return Dates(samples=60).prepare()


def build_on(data: DataModule, kind: Any, **settings: Any) -> tuple[DataModule, Any]:
    torch.manual_seed(0)
    return data, kind(data.prepare().spec, **settings).eval()


def build(data: Dates, **settings: Any) -> Seq2Seq:
    torch.manual_seed(0)
    return Seq2Seq(data.spec, embedding_size=4, hidden_size=8, max_length=6, **settings).eval()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, True), ({"attention": "additive", "beam_size": 3, "cell": "lstm"}, True), ({"attention": "none"}, False)],
)
def test_picture_is_drawn_for_models_with_attention(
    data: Dates, settings, expected, quiet_trainer, tmp_path, capsys
) -> None:
    maps = AttentionMaps(tmp_path / "pictures", sources=3)
    quiet_trainer(callbacks=[maps]).test(build(data, **settings), data, verbose=False)
    file = tmp_path / "pictures" / "attention.png"
    assert file.exists() == expected
    assert not expected or file.read_bytes().startswith(b"\x89PNG")
    assert "warning" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["gpt", "gpt rotary", "bert", "transformer"])
def test_transformers_show_their_heads_and_positions(name: str, quiet_trainer, tmp_path, capsys) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat. " * 60)
    small: dict[str, Any] = {"hidden_size": 8, "num_heads": 2}
    data, model = {
        "gpt": lambda: build_on(Text(path=text), GPT, num_layers=3, **small),
        "gpt rotary": lambda: build_on(Text(path=text), GPT, num_layers=3, position="rotary", **small),
        "bert": lambda: build_on(MaskedText(path=text), BERT, num_layers=3, **small),
        "transformer": lambda: build_on(Dates(samples=60), Transformer, num_decoder_layers=3, **small),
    }[name]()
    maps = AttentionMaps(tmp_path / "pictures")
    quiet_trainer(callbacks=[maps]).test(model, data, verbose=False)
    expected = {"attention_heads.png", "positions.png"} | ({"attention.png"} if name == "transformer" else set())
    assert {file.name for file in (tmp_path / "pictures").iterdir()} == expected
    assert "warning" not in capsys.readouterr().out
    with torch.inference_mode():
        weights, rows, columns = attention_heads(model, maps.kept[0][1])
    assert weights.shape == (3, 2, len(rows), len(columns))
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert bool(weights.triu(1).any()) == (not name.startswith("gpt"))


def test_other_models_have_no_picture(quiet_trainer, tmp_path) -> None:
    digits = Digits().prepare()
    quiet_trainer(callbacks=[AttentionMaps(tmp_path / "pictures")]).test(Linear(digits.spec), digits, verbose=False)
    assert not (tmp_path / "pictures").exists()


def test_map_contains_the_prediction_and_its_weights(data: Dates) -> None:
    model, part = build(data), data.parts["test"].select(slice(0, 1))  # type: ignore[union-attr]
    attention = attention_map(model, part.inputs[0])
    assert attention is not None
    source, target = data.spec.input.vocabulary, data.spec.target.vocabulary  # type: ignore[union-attr]
    predicted = model.predict_batch(part)
    assert list(attention.source) == [source[index] for index in part.inputs[0].tolist()]
    assert list(attention.predicted) == [target[index] for index in predicted[0].tolist() if index]
    weights = model.align(part, predicted)
    assert weights is not None
    assert torch.equal(attention.weights, weights[0, : len(attention.predicted)])
    assert torch.allclose(attention.weights.sum(1), torch.ones(len(attention.predicted)))


def test_sources_are_spread_and_do_not_depend_on_batch_size(data: Dates, quiet_trainer, tmp_path) -> None:
    kept = []
    for size in (1, 5, 1024):
        batched = Dates(samples=60, eval_batch_size=size).prepare()
        maps = AttentionMaps(tmp_path, sources=4)
        quiet_trainer(callbacks=[maps]).test(build(data), batched, verbose=False)
        kept.append([source.tolist() for _, source in maps.kept])
    assert kept[0] == kept[1] == kept[2]
    lengths = sorted(map(len, kept[0]))
    all_lengths = data.parts["test"].lengths.sort().values  # type: ignore[union-attr]
    assert lengths[-1] > all_lengths.median() > lengths[0]  # The test set is sorted by length.


def test_failing_picture_does_not_stop_the_run(data: Dates, quiet_trainer, tmp_path, monkeypatch, capsys) -> None:
    model = build(data)
    monkeypatch.setattr(model, "align", lambda *_: 1 / 0)
    results = quiet_trainer(callbacks=[AttentionMaps(tmp_path)]).test(model, data, verbose=False)
    assert results[0]["test/loss"] > 0
    assert f"warning: {tmp_path.name}/attention.png was not drawn: ZeroDivisionError" in capsys.readouterr().out


def test_picture_is_sent_to_loggers_that_support_images(data: Dates, quiet_trainer, tmp_path, monkeypatch) -> None:
    from lightning.pytorch.loggers import WandbLogger

    class Wandb(WandbLogger):
        def __init__(self) -> None:
            self.pictures: dict[str, list[str]] = {}

        @property
        def save_dir(self) -> None:
            return None

        name = version = "none"  # type: ignore[assignment]

        def log_image(self, key: str, images: list[Any], *_: Any, **__: Any) -> None:
            self.pictures[key] = images

        def __getattribute__(self, name: str) -> Any:
            if name in ("log_metrics", "log_hyperparams", "log_graph", "save", "finalize", "after_save_checkpoint"):
                return lambda *_, **__: None
            return super().__getattribute__(name)

    logger = Wandb()
    trainer = quiet_trainer(callbacks=[AttentionMaps(tmp_path)], logger=logger)
    trainer.test(build(data), data, verbose=False)
    assert logger.pictures == {"pictures/attention": [str(Path(tmp_path) / "attention.png")]}


def test_zero_sources_disable_the_picture_and_negative_sources_are_rejected(
    data: Dates, quiet_trainer, tmp_path
) -> None:
    maps = AttentionMaps(tmp_path / "pictures", sources=0)
    quiet_trainer(callbacks=[maps]).test(build(data), data, verbose=False)
    assert not (tmp_path / "pictures").exists()
    with pytest.raises(InputError, match=r"callbacks\.attention\.sources must be at least 0, not -1"):
        AttentionMaps(tmp_path, sources=-1)
