"""Exported files agree with their models for any batch size and length, and describe themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from helpers.classical import fitted
from helpers.commands import CommandResult
from safetensors import safe_open
from torch import nn

from primer import load
from primer.__main__ import main
from primer.data.tables.tables import Diabetes, Wine
from primer.errors import InputError
from primer.export.export import check, write_onnx, write_torch
from primer.export.graph import Graph
from primer.models.base import Model, Step
from primer.models.classical.decision_tree import DecisionTree
from primer.models.classical.gaussian_naive_bayes import GaussianNaiveBayes
from primer.models.classical.kmeans import KMeans
from primer.models.classical.knn import KNN
from primer.models.classical.random_forest import RandomForest
from primer.models.classical.svm import SVM
from primer.models.convolutional.alexnet import AlexNet
from primer.models.convolutional.cnn1d import CNN1d
from primer.models.convolutional.edge_filters import EdgeFilters
from primer.models.convolutional.lenet import LeNet
from primer.models.convolutional.mobilenet_v2 import MobileNetV2
from primer.models.convolutional.resnet import ResNet
from primer.models.convolutional.vgg import VGG
from primer.models.encoder_decoder.seq2seq import Seq2Seq
from primer.models.encoder_decoder.transformer import Transformer
from primer.models.feedforward.linear import Linear
from primer.models.feedforward.mlp import MLP
from primer.models.recurrent.gru import GRU
from primer.models.recurrent.lstm import LSTM
from primer.models.recurrent.rnn import RNN
from primer.models.transformers.bert import BERT
from primer.models.transformers.gpt import GPT
from primer.models.transformers.vit import ViT
from primer.spec import (
    Classes,
    Image,
    MaskedToken,
    NextToken,
    NoTarget,
    Sequence,
    Series,
    Spec,
    Tags,
    Tokens,
    Values,
    Vector,
)

WORDS = tuple(f"w{k}" for k in range(30))
DIGITS, COLOR = Image(1, 8, 8, (0.3,), (0.4,), maximum=16.0), Image(3, 32, 32, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
CLASSES, TAGS = Classes(("a", "b", "c")), Tags(("x", "y"))
TOKENS, SPELLED = Tokens(WORDS), Tokens(WORDS, ("", "?", *"abcdefgh"), word_length=6)
SERIES, PADDED = Series(2, (1.0, 2.0), (3.0, 0.5)), Series(2, (1.0, 2.0), (3.0, 0.5), padded=True)
FORECAST = Values(("p", "q"), (1.0, 2.0), (3.0, 0.5), continues=(0, 1))
FAR = Vector(3, ("a", "b", "c"), (1e9, 0.0, 2.0), (1.0, 1.0, 3.0), (), (1e9, 0.0, 0.0))
SMALL: dict[str, Any] = {"embedding_size": 5, "hidden_size": 6}

MODELS: dict[str, Callable[[], Model]] = {
    "mlp": lambda: MLP(Spec(FAR, Values(("y",), (1e9,), (2.0,), offset=(1e9,)))),
    "lenet": lambda: LeNet(Spec(DIGITS, CLASSES)),
    "lstm tags": lambda: LSTM(Spec(SPELLED, TAGS), characters="lstm", character_size=4, num_layers=2, **SMALL),
    "gru classes": lambda: GRU(Spec(TOKENS, CLASSES), pooling="attention", **SMALL),
    "seq2seq": lambda: Seq2Seq(Spec(TOKENS, Sequence(WORDS)), max_length=3, **SMALL),
    "linear": lambda: Linear(Spec(DIGITS, CLASSES)),
    "alexnet": lambda: AlexNet(Spec(COLOR, CLASSES)),
    "edge filters": lambda: EdgeFilters(Spec(DIGITS, CLASSES)),
    "vgg": lambda: VGG(Spec(COLOR, CLASSES)),
    "resnet": lambda: ResNet(Spec(COLOR, CLASSES)),
    "mobilenet": lambda: MobileNetV2(Spec(COLOR, CLASSES)),
    "gru tags": lambda: GRU(Spec(SPELLED, TAGS), characters="cnn", character_size=4, **SMALL),
    "rnn classes": lambda: RNN(Spec(TOKENS, CLASSES), activation="relu", pooling="last", **SMALL),
    "lstm classes": lambda: LSTM(Spec(TOKENS, CLASSES), pooling="max", **SMALL),
    "gru forecast": lambda: GRU(Spec(SERIES, FORECAST), hidden_size=6, instance_normalization=True),
    "lstm next token": lambda: LSTM(Spec(TOKENS, NextToken(WORDS)), **SMALL),
    "lstm rows": lambda: LSTM(Spec(DIGITS, CLASSES), hidden_size=6),
    "cnn1d": lambda: CNN1d(Spec(PADDED, CLASSES), (4, 5, 6)),
    "cnn1d values": lambda: CNN1d(Spec(SERIES, Values(("y",), (1.0,), (2.0,))), (4, 5), (8, 3), "max"),
    "lstm padded series": lambda: LSTM(Spec(PADDED, CLASSES), hidden_size=6, pooling="mean"),
    "rnn series": lambda: RNN(Spec(SERIES, CLASSES), hidden_size=6, pooling="mean"),
    "gpt": lambda: GPT(Spec(TOKENS, NextToken(WORDS)), 12, 3, 2),
    "gpt rotary": lambda: GPT(Spec(TOKENS, NextToken(WORDS)), 12, 3, 2, position="rotary", normalization="rms"),
    "transformer": lambda: Transformer(Spec(TOKENS, Sequence(WORDS)), 12, 3, 2, 2, max_length=3),
    "bert": lambda: BERT(Spec(TOKENS, MaskedToken(WORDS)), 12, 3, 2),
    "bert tags": lambda: BERT(Spec(TOKENS, TAGS), 12, 3, 2, norm_first=False),
    "bert classes": lambda: BERT(Spec(TOKENS, CLASSES), 12, 3, 2),
    "vit": lambda: ViT(Spec(DIGITS, CLASSES), 4, 12, 3, 2),
    "vit mean": lambda: ViT(Spec(COLOR, CLASSES), None, 12, 3, 2, pooling="mean"),
    "gpt tags": lambda: GPT(Spec(TOKENS, TAGS), 12, 3, 2, qk_norm=True),
    "gpt classes": lambda: GPT(Spec(TOKENS, CLASSES), 12, 3, 2),
    "seq2seq additive": lambda: Seq2Seq(
        Spec(TOKENS, Sequence(WORDS)), max_length=4, attention="additive", cell="lstm", num_layers=2, **SMALL
    ),
    "seq2seq none": lambda: Seq2Seq(
        Spec(TOKENS, Sequence(WORDS)), max_length=4, attention="none", bidirectional=False, beam_size=3, **SMALL
    ),
    "knn": lambda: fitted(KNN, Wine().prepare()),
    "svm": lambda: fitted(SVM, Wine().prepare()),
    "svm values": lambda: fitted(SVM, Diabetes().prepare()),
    "decision tree": lambda: fitted(DecisionTree, Diabetes().prepare()),
    "random forest": lambda: fitted(RandomForest, Wine().prepare(), trees=5),
    "naive bayes": lambda: fitted(GaussianNaiveBayes, Wine().prepare()),
}
WRITERS = {"onnx": write_onnx, "pt2": write_torch}
FAST_CASES = [("mlp", "onnx"), ("lenet", "onnx"), ("gru classes", "onnx"), ("seq2seq", "pt2"), ("random forest", "pt2")]
CASES = [
    (name, suffix) if (name, suffix) in FAST_CASES else pytest.param(name, suffix, marks=pytest.mark.slow)
    for name in MODELS
    for suffix in WRITERS
]


@pytest.fixture(autouse=True)
def untyped() -> Iterator[None]:
    """Turns off the checks of annotations, which the exporter would have to trace."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_exported_files_agree_with_the_model(name: str, suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    difference = WRITERS[suffix](MODELS[name](), tmp_path / f"model.{suffix}", {})
    assert difference <= 1e-4
    assert (tmp_path / f"model.{suffix}").stat().st_size > 1000


def test_a_file_that_differs_is_rejected() -> None:
    model = MODELS["lenet"]()
    graph = Graph(MODELS["lenet"]())
    with pytest.raises(InputError, match="differs from the model"):
        check(model, lambda inputs: graph(*inputs).detach())
    with pytest.raises(InputError, match=r"returns the shape \(2, 2\)"):
        check(model, lambda inputs: graph(*inputs).detach()[:, :2])


class Autoencoder(Model):
    """Reconstructs vectors, and ignores targets."""

    inputs = Vector
    targets = NoTarget

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.layer = nn.Linear(3, 3)

    def step(self, batch: Any) -> Step:
        loss = (self.layer(batch.inputs) - batch.inputs).square().mean()
        return Step(loss, len(batch.inputs))


class Branching(Linear):
    """Its computation depends on its values."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(inputs if inputs.sum() > 0 else -inputs)


def test_models_without_a_graph_are_rejected_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="learns without targets"):
        Graph(Autoencoder(Spec(FAR, NoTarget())))
    with pytest.raises(InputError, match="KMeans learns without targets"):
        Graph(fitted(KMeans, Wine().prepare(), clusters=2))
    with pytest.raises(InputError, match="Branching cannot be exported with format=torch: ") as caught:
        write_torch(Branching(Spec(FAR, CLASSES)), tmp_path / "model.pt2", {})
    assert "\n" not in str(caught.value)


@pytest.fixture
def run(run_in_process: Callable[..., CommandResult], tmp_path: Path) -> Path:
    result = run_in_process(
        "train.py", "data=iris", "trainer.max_epochs=1", "~callbacks.pictures", f"hydra.run.dir={tmp_path}/run"
    )
    assert result.status == 0, result.err
    return tmp_path / "run"


def test_the_command_writes_a_file_a_description_and_a_card(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    assert main(["export", str(run), "format=onnx"]) == 0
    folder = run / "export"
    assert [Path(line).name for line in capfd.readouterr().out.splitlines()] == [
        "model.onnx", "model.onnx.json", "model_card.md",
    ]  # fmt: skip
    assert sorted(file.name for file in folder.iterdir()) == ["model.onnx", "model.onnx.json", "model_card.md"]
    description = json.loads((folder / "model.onnx.json").read_text())
    (inputs,), output = description["inputs"], description["output"]
    assert inputs["shape"] == ["batch", 4]
    assert output["labels"] == ["setosa", "versicolor", "virginica"]
    assert description["largest_difference"] <= 1e-4

    rows = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (probabilities,) = session.run(None, {inputs["name"]: torch.tensor(rows).numpy()})
    expected = load(run).predict(rows).probabilities
    assert probabilities == pytest.approx(expected, abs=1e-5)

    card = (folder / "model_card.md").read_text()
    for text in (
        "# MLP on Iris",
        "| test/accuracy |",
        "| setosa |",
        "always setosa",
        "train.py data=iris",
        "lr: 0.001",
    ):
        assert text in card


def test_safetensors_are_weights_to_start_from(run: Path, run_in_process: Any, tmp_path: Path) -> None:
    assert main(["export", str(run), "format=safetensors", f"output={tmp_path}/out"]) == 0
    with safe_open(tmp_path / "out/model.safetensors", "pt") as file:
        spec = json.loads(file.metadata()["primer"])["spec"]
    assert spec["target"]["names"] == ["setosa", "versicolor", "virginica"]
    result = run_in_process(
        "train.py", "data=iris", f"weights={tmp_path}/out/model.safetensors", "trainer.max_epochs=1", "optimizer.lr=0"
    )
    assert result.status == 0, result.err
    assert torch.equal(load(result.folder).hidden[0].weight, load(run).hidden[0].weight)  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", "format=tflite"], "format=tflite: valid: onnx, torch, safetensors"),
        (["RUN", "size=3"], "size=3: there is no setting size"),
        ([], "export needs one run folder or checkpoint"),
        (["RUN", "output=RUN/config.yaml"], "must be a folder"),
        (["nowhere"], "there is no run folder or checkpoint nowhere"),
    ],
)
def test_a_mistake_in_the_command(
    arguments: list[str], message: str, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *(text.replace("RUN", str(run)) for text in arguments)]) == 2
    errors = capfd.readouterr().err
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1


def test_a_missing_package_is_named(run: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    find = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "onnx" else find(name, *rest))
    assert main(["export", str(run)]) == 2
    assert "format=onnx requires onnx: install primer[export]" in capfd.readouterr().err
    assert not (run / "export").exists()
