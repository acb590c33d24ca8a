"""Pretrained weights: from torchvision, from a run, and from a file."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from primer.checkpoints import weights
from primer.data.images.digits import Digits
from primer.data.tables.tables import Iris
from primer.errors import InputError
from primer.models.base import Model
from primer.models.convolutional.alexnet import AlexNet
from primer.models.convolutional.mobilenet_v2 import MobileNetV2
from primer.models.convolutional.resnet import ResNet
from primer.models.convolutional.vgg import VGG
from primer.models.encoder_decoder.seq2seq import Seq2Seq
from primer.models.feedforward.mlp import MLP
from primer.models.recurrent.lstm import LSTM
from primer.run.evaluation import evaluate
from primer.run.training import train
from primer.spec import Classes, Image, NextToken, Sequence, Spec, Tags, Tokens

Command = Callable[..., Any]

TEN = Classes(tuple("0123456789"))
LARGE = Spec(Image(3, 224, 224), TEN)
FILE = "mobilenet_v2-7ebf99e0.pth"
QUICK = ("trainer.max_epochs=1", "logger=none", "~callbacks.pictures")
SMALL = {"layers": [1, 1], "width": 8}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with the file that torchvision would download, filled with random weights."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "weights").mkdir()
    torch.manual_seed(0)
    torch.save(torchvision.models.mobilenet_v2().state_dict(), folder / "weights" / FILE)
    return folder


def test_torchvision_has_weights_for_every_torchvision_name() -> None:
    settings: list[tuple[type[Model], dict[str, Any]]] = [
        (AlexNet, {}),
        (MobileNetV2, {}),
        *((VGG, {"depth": depth, "normalization": norm}) for depth in (11, 13, 16, 19) for norm in ("none", "batch")),
        (ResNet, {}),
        (ResNet, {"layers": [3, 4, 6, 3], "block": "bottleneck"}),
    ]
    for kind, arguments in settings:
        known = weights.published(str(kind.torchvision_name(**arguments)))
        assert "DEFAULT" in known
        assert "IMAGENET1K_V1" in known
        image = weights.imagenet_input(known["DEFAULT"])
        assert (image.channels, image.height, image.mean) == (3, 224, (0.485, 0.456, 0.406))


def test_torchvision_weights_are_read_from_the_folder(data_dir: Path) -> None:
    found = weights.read_weights("imagenet", MobileNetV2, {"stem": "auto"}, data_dir)
    assert found.input == Image(3, 224, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    model = MobileNetV2(LARGE)
    initial = model.head.weight.clone()
    assert weights.replaces_head(model, found)
    weights.copy_into(model, found)
    state = torch.load(data_dir / "weights" / FILE, weights_only=True)
    assert torch.equal(model.features[1].conv[0][0].weight, state["features.1.conv.0.0.weight"])
    assert torch.equal(model.head.weight, initial)


def test_a_run_from_torchvision_weights_has_the_same_metrics_in_evaluation(
    data_dir: Path, command: Command, tmp_path: Path
) -> None:
    overrides = ["model=mobilenet_v2", "data.train_size=40", "transfer=frozen", "transfer.image_size=40"]
    metrics = train(command("train", "run", *QUICK, *overrides, "weights=imagenet", f"paths.data_dir={data_dir}"))
    content = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    image = content["primer"]["spec"]["input"]
    assert (image["channels"], image["height"], image["mean"]) == (3, 40, [0.485, 0.456, 0.406])
    assert content["primer"]["model"]["stem"] == "published"
    state = torch.load(data_dir / "weights" / FILE, weights_only=True)
    for name, tensor in state.items():
        if not name.startswith("classifier"):
            assert torch.equal(content["state_dict"][name], tensor), name
    again = evaluate(command("evaluate", "evaluation", f"run={tmp_path / 'run'}"))
    assert again == {name: value for name, value in metrics.items() if name.startswith(("test/", "baseline/"))}


@pytest.fixture
def serve_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that serves torchvision's weights from a local server, under the hash that is given."""
    folder = tmp_path / "server"
    folder.mkdir()
    torch.manual_seed(0)
    torch.save(torchvision.models.mobilenet_v2(num_classes=3).state_dict(), folder / "plain.pth")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def serve(digest: str | None = None, up: bool = True) -> str:
        if not up:
            server.server_close()
        content = (folder / "plain.pth").read_bytes()
        name = f"model-{digest or hashlib.sha256(content).hexdigest()[:8]}.pth"
        (folder / name).write_bytes(content)
        transforms = SimpleNamespace(crop_size=[224], mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
        entry = SimpleNamespace(
            url=f"http://127.0.0.1:{server.server_port}/{name}",
            transforms=lambda: transforms,
            meta={"categories": ["cat", "dog", "cow"]},
        )
        monkeypatch.setattr(weights, "published", lambda _: {"DEFAULT": entry, "IMAGENET1K_V1": entry})
        return name

    yield serve
    server.shutdown()
    server.server_close()


def test_weights_are_downloaded_once(serve_weights: Any, tmp_path: Path) -> None:
    name = serve_weights()
    found = weights.read_weights("IMAGENET1K_V1", MobileNetV2, {}, tmp_path)
    assert (tmp_path / "weights" / name).is_file()
    model = MobileNetV2(Spec(Image(3, 224, 224), Classes(("cat", "dog", "cow"))))
    assert not weights.replaces_head(model, found)
    weights.copy_into(model, found)
    assert torch.equal(model.head.weight, found.state["head.weight"])
    serve_weights(up=False)
    assert weights.read_weights("imagenet", MobileNetV2, {}, tmp_path).state.keys() == found.state.keys()


def test_a_download_with_another_hash_is_rejected_and_deleted(serve_weights: Any, tmp_path: Path) -> None:
    name = serve_weights(digest="00000000")
    with pytest.raises(InputError, match=r"invalid hash value.*save that file as .*00000000\.pth"):
        weights.read_weights("imagenet", MobileNetV2, {}, tmp_path)
    assert not (tmp_path / "weights" / name).exists()


def test_without_a_network_the_message_names_where_to_save_the_file(serve_weights: Any, tmp_path: Path) -> None:
    name = serve_weights(up=False)
    with pytest.raises(InputError) as caught:
        weights.read_weights("imagenet", MobileNetV2, {}, tmp_path)
    assert re.search(rf"cannot be downloaded \(.+\); save that file as {tmp_path}", str(caught.value))
    assert str(caught.value).endswith(f"weights/{name}")
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / FILE).write_bytes(b"no weights")
    with pytest.raises(InputError, match=rf"{FILE} is damaged .*; delete it to download it again"):
        weights.read_weights("imagenet", MobileNetV2, {}, tmp_path)


@pytest.mark.parametrize(
    ("source", "kind", "settings", "message"),
    [
        ("imagnet", MobileNetV2, {}, "mobilenet_v2 torchvision has the weights imagenet, IMAGENET1K_V1, IMAGENET1K_V2"),
        ("imagenet", ResNet, {"width": 16}, "torchvision has no weights for this ResNet"),
        ("imagenet", MLP, {}, "torchvision has no weights for this MLP"),
        ("none.safetensors", MLP, {}, "weights=none.safetensors: there is no such file"),
    ],
)  # fmt: skip
def test_weights_that_do_not_exist_are_rejected(
    source: str, kind: type[Model], settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        weights.read_weights(source, kind, settings, tmp_path)


def test_a_run_starts_from_an_earlier_run_with_the_same_image_format(command: Command, tmp_path: Path) -> None:
    small, first = ("model=lenet", "data.train_size=60", *QUICK), tmp_path / "first"
    train(command("train", "first", *small))
    train(command("train", "second", *small, f"weights={first}", "transfer=frozen", "data.split_seed=7"))
    before, after = (
        torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True) for folder in (first, tmp_path / "second")
    )
    assert before["primer"]["spec"] == after["primer"]["spec"]  # Not the mean of the other split.
    assert torch.equal(before["state_dict"]["c1.0.weight"], after["state_dict"]["c1.0.weight"])
    assert not torch.equal(before["state_dict"]["head.weight"], after["state_dict"]["head.weight"])
    with pytest.raises(InputError, match="are for LeNet, not for MLP"):
        train(command("train", "third", "model=mlp", f"weights={first}", *QUICK))


def test_safetensors_files_of_primer_and_of_torchvision(tmp_path: Path) -> None:
    spec = Spec(Image(1, 8, 8), TEN)
    torch.manual_seed(0)
    model = ResNet(spec, layers=[1, 1], width=8)
    save_file(model.state_dict(), tmp_path / "ours.safetensors")
    found = weights.read_weights(str(tmp_path / "ours.safetensors"), ResNet, SMALL, tmp_path)
    assert found.input is None
    other = ResNet(spec, layers=[1, 1], width=8)
    weights.copy_into(other, found)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in other.state_dict().items())

    theirs = torchvision.models.resnet18()
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    found = weights.read_weights(str(tmp_path / "theirs.safetensors"), ResNet, {}, tmp_path)
    assert isinstance(found.input, Image)
    assert found.input.mean == (0.485, 0.456, 0.406)
    large = ResNet(LARGE)
    weights.copy_into(large, found)
    assert torch.equal(large.stages[3][1].bn2.weight, theirs.layer4[1].bn2.weight)
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match=r"broken\.safetensors cannot be read"):
        weights.read_weights(str(tmp_path / "broken.safetensors"), ResNet, {}, tmp_path)


def test_weights_of_another_shape_are_rejected_with_both_shapes() -> None:
    spec = Spec(Image(1, 8, 8), TEN)
    small, wide, deep = (
        ResNet(spec, layers=layers, width=width) for layers, width in (([1], 4), ([1], 8), ([1, 1], 4))
    )

    def weights_of(model: ResNet) -> weights.Weights:
        return weights.Weights("file", model.state_dict(), spec.input, TEN)

    shapes = r"conv1.weight is \(8, 1, 3, 3\) in the weights and \(4, 1, 3, 3\) in the model"
    with pytest.raises(InputError, match=shapes):
        weights.copy_into(small, weights_of(wide))
    with pytest.raises(InputError, match=r"missing parameter stages\.1\.0\.conv1\.weight"):
        weights.copy_into(deep, weights_of(small))
    with pytest.raises(InputError, match=r"unexpected parameter stages\.1\.0\.conv1\.weight"):
        weights.copy_into(small, weights_of(deep))


def test_the_last_layer_is_copied_only_for_the_same_classes() -> None:
    def model(*names: str) -> ResNet:
        return ResNet(Spec(Image(1, 8, 8), Classes(names)), layers=[1], width=4)

    trained = model("a", "b", "c")
    found = weights.Weights("file", trained.state_dict(), trained.spec.input, trained.spec.target)
    for new, copied in ((model("a", "b", "c"), True), (model("x", "y", "z"), False), (model("a", "b"), False)):
        weights.copy_into(new, found)
        assert weights.replaces_head(new, found) is not copied
        assert (new.head.weight.shape == (3, 4) and torch.equal(new.head.weight, trained.head.weight)) is copied
        assert torch.equal(new.conv1.weight, trained.conv1.weight)
    assert weights.describe_new_parameters(model("x", "y"), found) == ", with a new last layer"


def tagger(words: str, letters: str) -> LSTM:
    tokens = Tokens(("<pad>", "<unk>", *words), ("<pad>", "<unk>", *letters))
    return LSTM(Spec(tokens, Tags(("N", "V"))), embedding_size=4, hidden_size=4, characters="lstm").eval()


def language_model(words: str, letters: str) -> LSTM:
    vocabulary = ("<pad>", "<unk>", *words)
    return LSTM(Spec(Tokens(vocabulary), NextToken(vocabulary)), embedding_size=4, hidden_size=4).eval()


@pytest.mark.parametrize(("build", "letters"), [(tagger, 2), (language_model, 0)])
def test_words_keep_their_vectors_at_any_index(build: Callable[..., LSTM], letters: int) -> None:
    torch.manual_seed(0)
    trained, new = build("abcd", "xyz"), build("dxcab", "zyx")
    found = weights.Weights("file", trained.state_dict(), trained.spec.input, trained.spec.target)
    weights.copy_into(new, found)
    # The sequence a d b ? c in both vocabularies.
    trained_inputs, new_inputs = torch.tensor([[2, 5, 3, 1, 4]]), torch.tensor([[5, 2, 6, 1, 4]])
    if letters:
        trained_letters = torch.tensor([[2, 3, 4, 1, 2]]), torch.tensor([[4, 0, 3, 0, 0]])
        new_letters = torch.tensor([[4, 3, 2, 1, 4]]), torch.tensor([[2, 0, 3, 0, 0]])
        trained_inputs = torch.stack([trained_inputs, *trained_letters], dim=-1)
        new_inputs = torch.stack([new_inputs, *new_letters], dim=-1)
    shared = slice(None) if letters else [0, 1, 5, 6, 4, 2]  # Outputs of "dxcab" for the words of "abcd", in order.
    torch.testing.assert_close(new(new_inputs)[..., shared], trained(trained_inputs))
    new_vectors, trained_vectors = (model.state_dict()["embedding.words.weight"] for model in (new, trained))
    assert torch.equal(new_vectors[3], trained_vectors[1])  # A new word starts with the vector of <unk>.
    names = [
        name
        for name in ("embedding.words.weight", "head.weight", "head.bias")
        if name in new.vocabulary_parameters(new.spec)
    ]
    assert weights.describe_new_parameters(new, found) == "".join(f", 1 of 7 rows of {name} new" for name in names)
    assert weights.describe_new_parameters(build("abcd", "xyz"), found) == ""


@pytest.mark.parametrize("attention", ["none", "dot"])
def test_seq2seq_keeps_the_vectors_of_both_vocabularies(attention: str) -> None:
    def build(source: str, target: str) -> Seq2Seq:
        special = ("<pad>", "<unk>")
        spec = Spec(Tokens((*special, *source)), Sequence((*special, "<start>", "<end>", *target)))
        return Seq2Seq(spec, embedding_size=4, hidden_size=4, attention=attention).eval()

    torch.manual_seed(0)
    trained, new = build("ab", "xyz"), build("ba", "zxy")
    weights.copy_into(new, weights.Weights("file", trained.state_dict(), trained.spec.input, trained.spec.target))
    expected, outputs = trained(torch.tensor([[2, 3, 3]])), new(torch.tensor([[3, 2, 2]]))
    torch.testing.assert_close(outputs[..., [0, 1, 2, 3, 5, 6, 4]], expected)


def test_an_automatic_stem_is_that_of_the_weights(tmp_path: Path) -> None:
    found = weights.Weights("file", {}, stem="published")
    assert weights.with_stem({"stem": "auto", "width": 4}, found) == {"stem": "published", "width": 4}
    assert weights.with_stem({"stem": "small"}, found) == {"stem": "small"}
    assert weights.with_stem({"depth": 16}, found) == {"depth": 16}


def test_data_of_another_type_is_rejected() -> None:
    found = weights.Weights("file", {}, Image(1, 8, 8))
    with pytest.raises(InputError, match="weights=file are for inputs of type Image, but the data has Vector"):
        weights.set_image_format(Iris().prepare(), found)
    data = Digits().prepare()
    weights.set_image_format(data, weights.Weights("file", {}), image_size=12)
    assert isinstance(data.spec.input, Image)
    assert (data.spec.input.height, data.spec.input.channels) == (12, 1)
