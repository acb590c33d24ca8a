"""Every model trains on every data set that it accepts, and every choice of every config group can be instantiated."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.recordings import write_folder, write_spoken_digits
from PIL import Image

from primer.batch import Batch
from primer.cli.choices import groups, target_of
from primer.cli.composition import compose_checked, compose_resolved
from primer.cli.listing import compatible_pairs
from primer.config.instantiate import instantiate, instantiate_partial, locate
from primer.config.paths import CONFIGS
from primer.data.images.images import TorchvisionImages
from primer.data.source import DataSource
from primer.models.base import Model, SinglePass
from primer.objectives import Objective
from primer.regularization import Regularization
from primer.run.building import build_data, build_loggers, build_model, build_schedule
from primer.run.training import train

TABLE = "x,color,y\n" + "".join(f"{i},{'red' if i % 3 else 'blue'},{'yes' if i % 2 else 'no'}\n" for i in range(60))
SENTENCE = "1\tDogs\tdog\tNOUN\tNN\t_\t_\t_\t_\t_\n2\tbark\tbark\tVERB\tVB\t_\t_\t_\t_\t_\n\n"
LARGE = ("alexnet", "vgg", "gpt2", "vit_b_16", "bert_base")
"""Prefixes of the models whose millions of weights would take long to initialize."""

SPARSE = ("word2vec", "glove")
"""Models whose weights have sparse gradients, so that L1 and L2 are rejected."""

FITTED = {
    "dbscan": ("model.eps=1000.0",),
    "gaussian_mixture": ("model.covariance=diag",),
    "kmeans": ("model.elbow=false",),
    "random_forest": ("model.trees=5",),
}
"""Settings with which models that are fitted in a single pass fit any data, and quickly."""

ENVIRONMENTS = [data for data in groups()["data"] if "environments" in str(target_of("data", data))]
"""Data in which models act, instead of batches of samples."""

ALIKE = ("fashion_mnist", "cifar100", "audio_folder", "spoken_digits")
"""Data sets of the same kind as another one, with inputs of the same shape."""

ACTING = [pair for pair in compatible_pairs() if pair[1] in ENVIRONMENTS]
LEARNING = [pair for pair in compatible_pairs() if pair[1] not in ENVIRONMENTS]


def other_sizes() -> set[str]:
    """Returns the models whose class is that of a model before them, with other sizes."""
    first: dict[Any, str] = {}
    return {model for model in groups()["model"] if first.setdefault(target_of("model", model), model) != model}


def mark_slow(pairs: list[tuple[str, str]]) -> list[Any]:
    """Marks pairs that differ from another pair only in the sizes of the model or in the names of the data as slow."""
    sizes, seen, params = other_sizes(), set(), []
    for model, data in pairs:
        repeated = data in ALIKE or (model in sizes and model in seen)
        seen.add(model)
        marks = [pytest.mark.slow] if repeated else []
        params.append(pytest.param(model, data, id=f"{model}-{data}", marks=marks))
    return params


SMALL: dict[str, tuple[str, ...]] = {
    "pos_tags": ("data.sentences=60",),
    "dates": ("data.samples=80",),
    "g2p": ("data.train_size=80",),
    "xor": ("data.samples=60",),
    "moons": ("data.samples=300",),
    "tones": ("data.samples=60",),
    "ratings": ("data.path=null", "data.users=40", "data.per_user=5"),
    "sessions": ("data.sessions=60", "data.items=20"),
    "noisy_surface": ("data.samples=60",),
    "moving_digits": ("data.samples=70", "data.frames=4", "data.side=16"),
    "adding_problem": ("data.samples=60", "data.length=10"),
    "copy_memory": ("data.samples=60", "data.length=5"),
    "waves": ("data.samples=60", "data.shortest=5", "data.longest=12"),
    "opinions": ("data.sentences=60",),
    "masked_text": ("data.train_size=2000",),
    **dict.fromkeys(ENVIRONMENTS, ("data.steps_per_epoch=20", "data.eval_episodes=2", "data.num_envs=10")),
    "gymnasium": ("data.id=FrozenLake-v1", "data.steps_per_epoch=20", "data.eval_episodes=2", "data.num_envs=10"),
    "bandit": ("data.runs=20", "data.steps_per_epoch=2", "data.eval_steps=4"),
}


@pytest.fixture(scope="module", autouse=True)
def files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Creates input files for data sets that need them, and replaces downloads by small random images."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "table.csv").write_text(TABLE)
    (folder / "some.conllu").write_text(SENTENCE * 120)
    sources = ", ".join(f"data.{part}={folder}/some.conllu" for part in ("train", "dev", "test")).split(", ")
    SMALL["series"] = (f"data.path={folder}/table.csv", "data.target=x", "data.window=5")
    long = (f"{k},{step},{k % 5 * step},{'ab'[k % 2]}" for k in range(60) for step in range(3 + k % 4))
    (folder / "long.csv").write_text("\n".join(["id,step,x,label", *long]) + "\n")
    SMALL["series_classification"] = (f"data.path={folder}/long.csv", "data.time=step")
    SMALL["csv"] = (f"data.path={folder}/table.csv", "data.target=y")
    SMALL["conllu"] = tuple(sources)
    (folder / "some.bio").write_text("Ann B-PER\nmet O\nBo B-PER\n\n" * 40)
    SMALL["bio"] = (f"data.train={folder}/some.bio",)
    (folder / "texts.csv").write_text("text,label\n" + "".join(f"some {k},{'ab'[k % 2]}\n" for k in range(60)))
    SMALL["text_classification"] = (f"data.train={folder}/texts.csv",)
    SMALL["sentiment"] = tuple(f"data.{part}={folder}/texts.csv" for part in ("train", "dev", "test"))
    (folder / "sms_spam").mkdir()
    (folder / "sms_spam" / "SMSSpamCollection").write_text("".join(f"{'ab'[k % 2]}\tsome {k}\n" for k in range(60)))
    SMALL["spam"] = (f"data.data_dir={folder}",)
    (folder / "pairs.tsv").write_text("".join(f"{k}\t{k + 1}\n{k}\t{2 * k}\n" for k in range(60)))
    SMALL["pairs"] = (f"data.path={folder}/pairs.tsv",)
    pieces = [{"title": f"{k}", "steps": [[60 + k, -1], [62, 50]] * 9} for k in range(10)]
    (folder / "pieces.json").write_text(json.dumps({"voices": ["high", "low"], "train": pieces}))
    (folder / "words.txt").write_text("some words of this text are near other words of the same text , all day . " * 60)
    SMALL["text"] = ("data.train_size=2000", f"data.path={folder}/words.txt")
    SMALL["word_context"] = SMALL["cooccurrence"] = (f"data.path={folder}/words.txt",)
    SMALL["music"] = (f"data.path={folder}/pieces.json",)
    for k in range(60):
        (folder / "pictures" / "abc"[k % 3]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 32), (4 * k, 255 - 4 * k, 99)).save(folder / "pictures" / "abc"[k % 3] / f"{k}.png")
    for k in range(60):
        folder_of_frames = folder / "videos" / "abc"[k % 3] / str(k)
        folder_of_frames.mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (20, 16), (4 * k, 80 * number, 99)).save(folder_of_frames / f"{number}.png")
    SMALL["video_folder"] = (f"data.path={folder}/videos", "data.size=16", "data.frames=3")
    SMALL["image_folder"] = (f"data.path={folder}/pictures", "data.size=32")
    SMALL["audio_folder"] = (f"data.path={write_folder(folder / 'sounds')}", "data.frames=32")
    write_spoken_digits(folder)
    SMALL["spoken_digits"] = (f"data.data_dir={folder}", "data.path=spoken_digits/fsdd.npz")

    def read(self: TorchvisionImages) -> dict[str, Batch]:
        def random_images(count: int) -> Batch:
            channels, size = (1, 28) if "MNIST" in type(self).__name__ else (3, 32)
            classes = 100 if "100" in type(self).__name__ else 10
            labels = torch.arange(count) % classes
            self._names = tuple(str(label) for label in range(classes))
            return Batch(torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8), labels)

        return {"train": random_images(200), "test": random_images(100)}

    patch = pytest.MonkeyPatch()
    patch.setattr(TorchvisionImages, "read", read)
    patch.setattr(TorchvisionImages, "download", lambda self: None)
    yield
    patch.undo()


@cache
def config_of(*overrides: str) -> dict[str, Any]:
    return compose_resolved("train", list(overrides), "unused")


@cache
def data_of(name: str) -> DataSource:
    sizes = () if name in ENVIRONMENTS else ("data.batch_size=8", "data.eval_batch_size=8")
    return build_data(config_of(f"data={name}", *sizes, *SMALL.get(name, ()))).prepare()


def summary(group: str, choice: str) -> str:
    """Returns the first comment in the file of a choice."""
    lines = []
    for line in (CONFIGS / group / f"{choice}.yaml").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.lstrip("# "))
    return " ".join(lines)


@pytest.fixture(autouse=True)
def _free_memory() -> Iterator[None]:
    """Frees the models of a test, which refer to their trainers and so are only freed by the garbage collector. What
    is left, such as configs that are kept for the next test, is not looked at again."""
    yield
    gc.collect()
    gc.freeze()


@pytest.mark.parametrize(("model", "data"), mark_slow(LEARNING))
def test_two_training_steps(model: str, data: str, quiet_trainer) -> None:
    large = ["model.hidden_size=48"] if model.startswith(LARGE) else list(FITTED.get(model, ()))
    regularization = f"regularization={'none' if model in SPARSE else 'light'}"
    config = config_of(f"model={model}", f"data={data}", regularization, *large, *SMALL.get(data, ()))
    datamodule = data_of(data)
    settings = instantiate(config["regularization"], Regularization)
    network = build_model(config, datamodule, settings)
    if network.views > 1:  # They require an augmentation.
        datamodule.augmentation = list(settings.augmentation.values())
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    trainer = quiet_trainer(max_steps=2, limit_val_batches=1, limit_test_batches=1)
    trainer.fit(network, datamodule=datamodule)
    (metrics,) = trainer.test(network, datamodule=datamodule, verbose=False)
    if isinstance(network, SinglePass):
        assert network.is_fitted
    else:
        assert trainer.global_step == 2
        assert any(not torch.equal(parameter, before[name]) for name, parameter in network.named_parameters())
    assert math.isfinite(metrics["test/loss"])


@pytest.mark.parametrize(("model", "data"), ACTING, ids=["-".join(pair) for pair in ACTING])
def test_every_agent_acts_in_every_environment(model: str, data: str, quiet_trainer) -> None:
    starts = ("model.learning_starts=20",) if model == "dqn" else ()
    config = config_of(f"model={model}", f"data={data}", *starts, *SMALL[data])
    network = build_model(config, data_of(data), instantiate(config["regularization"], Regularization))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainer = quiet_trainer(max_epochs=1, limit_test_batches=1)
    trainer.fit(network, datamodule=data_of(data))
    if model == "dqn":
        assert any(not torch.equal(network.state_dict()[name], before[name]) for name in before)
    (metrics,) = trainer.test(network, datamodule=data_of(data), verbose=False)
    assert math.isfinite(metrics["test/regret" if model == "bandit" else "test/return"])


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
@pytest.mark.parametrize(
    "choices",
    ["model=kmeans data=digits", "model=som data=iris", "model=vae data=digits", "model=gan data=digits", "model=dqn"],
)
def test_true_precision(choices: str, precision: str, command) -> None:
    starts = ("model.learning_starts=20", "data.steps_per_epoch=20") if "dqn" in choices else ()
    single = "kmeans" in choices or "som" in choices
    limits = () if single else ("trainer.max_epochs=1", *(() if starts else ("+trainer.limit_train_batches=2",)))
    common = ("accelerator=cpu", "logger=none", f"trainer.precision={precision}")
    metrics = train(command("train", "run", *choices.split(), *starts, *limits, *common))
    assert any(name.startswith("test/") for name in metrics)


@pytest.mark.parametrize("choice", groups()["experiment"])
def test_two_training_steps_of_every_experiment(choice: str, command) -> None:
    choices = compose_checked("train", [f"experiment={choice}"]).hydra.runtime.choices
    data, single = choices.data, issubclass(locate(target_of("model", choices.model), Model), SinglePass)
    limits = (*(() if single else ("max_steps=2",)), "limit_val_batches=1", "limit_test_batches=1", "compile=false")
    sizes = () if data in ENVIRONMENTS else ("data.batch_size=8", "data.eval_batch_size=8")
    common = ("accelerator=cpu", "logger=none")
    trainer = [f"trainer.{setting}" for setting in limits]
    metrics = train(command("train", choice, f"experiment={choice}", *SMALL.get(data, ()), *sizes, *common, *trainer))
    assert metrics["steps"] == (0 if single else 2)
    tested = [value for name, value in metrics.items() if name.startswith("test/")]
    assert tested
    assert all(math.isfinite(value) for value in tested)


@pytest.mark.parametrize(
    ("group", "choice"),
    [pytest.param(group, choice, id=f"{group}-{choice}") for group, choices in groups().items() for choice in choices],
)
def test_every_config_file_is_documented(group: str, choice: str) -> None:
    if group not in ("local", "hydra", "paths"):
        assert len(summary(group, choice)) > 20


@pytest.mark.parametrize("choice", groups()["optimizer"])
def test_every_optimizer_is_instantiated(choice: str) -> None:
    optimizer = instantiate_partial(config_of(f"optimizer={choice}")["optimizer"], torch.optim.Optimizer)
    assert isinstance(optimizer([torch.nn.Parameter(torch.ones(2, 2))]), torch.optim.Optimizer)


@pytest.mark.parametrize("choice", groups()["scheduler"])
def test_every_schedule_is_instantiated(choice: str) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    schedulers = build_schedule(config_of(f"scheduler={choice}")["scheduler"]).build(optimizer, steps=100, epochs=10)
    assert len(schedulers) == (choice != "none")


@pytest.mark.parametrize("choice", groups()["regularization"])
@pytest.mark.parametrize("augmentation", groups()["regularization/augmentation"])
def test_every_regularization_is_instantiated(choice: str, augmentation: str) -> None:
    config = config_of(f"regularization={choice}", f"regularization/augmentation={augmentation}")
    assert isinstance(instantiate(config["regularization"], Regularization), Regularization)


@pytest.mark.parametrize("choice", groups()["objective"])
def test_every_objective_is_instantiated(choice: str) -> None:
    data = {"bce": "breast_cancer", "auto": "digits", "cross_entropy": "digits"}.get(choice, "diabetes")
    config = config_of(f"objective={choice}", f"data={data}")
    assert instantiate(config["objective"], Objective, target=data_of(data).spec.target).outputs >= 1


@pytest.mark.parametrize("choice", ["csv", "none", "tensorboard"])
def test_every_logger_is_instantiated(choice: str, tmp_path: Path) -> None:
    config = config_of(f"logger={choice}")
    for node in config["logger"].values():
        node["folder"] = str(tmp_path)
    assert len(build_loggers(config)) == {"none": 0, "csv": 1, "tensorboard": 2}[choice]


@pytest.mark.parametrize("choice", groups()["accelerator"])
def test_every_accelerator_sets_the_same_trainer_arguments(choice: str) -> None:
    settings = config_of(f"accelerator={choice}")["accelerator"]
    assert settings.keys() == {"accelerator", "devices", "num_nodes", "strategy", "precision"}
