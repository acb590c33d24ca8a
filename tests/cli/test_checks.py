"""Every kind of mistake is reported in one line, with valid alternatives."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from itertools import zip_longest

import pytest
from helpers.errors import refusal
from omegaconf import OmegaConf

from primer.cli.checks import check_command, check_compatibility, check_config
from primer.cli.choices import groups, is_compatible, target_of, targets_of
from primer.cli.composition import compose_checked
from primer.config.paths import CONFIGS, ROOT
from primer.errors import InputError, suggest


@cache
def compatible_models(data: str) -> list[str]:
    return [model for model in groups()["model"] if is_compatible(target_of("model", model), target_of("data", data))]


def all_choices() -> list[tuple[str, str]]:
    known = {group: choices for group, choices in groups().items() if group not in ("local", "paths", "hydra")}
    return [(group, choice) for group, choices in known.items() for choice in choices]


def combined_choices() -> list[list[str]]:
    """Commands that cover every choice: one with the first choice of each group, one with the second of each, …"""
    excluded = (
        "local", "paths", "hydra", "model", "data", "objective", "experiment", "regularization/augmentation", "sweep",
    )  # fmt: skip
    included = {group: choices for group, choices in groups().items() if group not in excluded}
    rows = zip_longest(*([f"{group}={choice}" for choice in choices] for group, choices in included.items()))
    return [["weights=imagenet", *(override for override in row if override)] for row in rows]


@pytest.mark.parametrize("choice", ["frozen", "gradual"])
def test_transfer_from_weights_requires_weights(choice: str) -> None:
    with pytest.raises(InputError, match=f"transfer={choice} requires weights=imagenet, a run folder or a file"):
        check_command("train", [f"transfer={choice}"])


def test_settings_of_transfer_require_weights() -> None:
    with pytest.raises(InputError, match=r"transfer\.lowest_rate has no effect without weights=imagenet, a run folder"):
        check_command("train", ["transfer.lowest_rate=0.1"])


@pytest.mark.parametrize("overrides", combined_choices(), ids=" ".join)
def test_every_choice_composes_and_passes(overrides: list[str]) -> None:
    check_command("train", overrides)


@pytest.mark.parametrize("choice", groups()["model"])
def test_every_model_passes_with_its_default_data(choice: str) -> None:
    check_command("train", [f"model={choice}"])


@pytest.mark.parametrize("choice", groups()["data"])
def test_every_data_set_passes(choice: str) -> None:
    config = compose_checked("train", [f"data={choice}", f"model={compatible_models(choice)[0]}"])
    for key in config.data:
        if OmegaConf.is_missing(config.data, key):  # A path that the user must set.
            config.data[key] = "some.file"
    check_config(config, "train")


@pytest.mark.parametrize("choice", groups()["objective"])
def test_every_objective_passes(choice: str) -> None:
    candidates = [data for data in ("digits", "diabetes", *groups()["data"]) if data in groups()["data"]]
    data = [name for name in candidates if is_compatible(target_of("objective", choice), target_of("data", name))]
    if not data:
        pytest.skip(f"no data set has targets that {choice} accepts")
    check_command("train", [f"data={data[0]}", f"model={compatible_models(data[0])[0]}", f"objective={choice}"])


@pytest.mark.parametrize("choice", groups().get("experiment", []))
def test_every_experiment_passes(choice: str) -> None:
    check_command("train", [f"experiment={choice}"])


@pytest.mark.parametrize(("group", "choice"), all_choices())
def test_every_choice_starts_with_a_comment(group: str, choice: str) -> None:
    lines = (CONFIGS / group / f"{choice}.yaml").read_text().splitlines()
    assert any(line.startswith("# ") and not line.startswith("# @package") for line in lines[:2])


@pytest.mark.parametrize("model", groups()["model"])
def test_a_model_is_rejected_exactly_for_incompatible_data(model: str) -> None:
    nodes = {"model": {"_target_": target_of("model", model)}, "objective": {}}
    compatible = [data for data in groups()["data"] if model in compatible_models(data)]
    assert compatible
    for data in groups()["data"]:
        config = OmegaConf.create(nodes | {"data": {"_target_": target_of("data", data)}})
        if data in compatible:
            check_compatibility(config, {"model": model, "data": data})
            continue
        with pytest.raises(InputError, match=f"^model={model} does not fit data={data}: it expects ") as caught:
            check_compatibility(config, {"model": model, "data": data})
        assert str(caught.value).endswith(f"compatible data: {', '.join(compatible)}")


def test_an_incompatible_model_is_rejected_on_the_command_line() -> None:
    pairs = [(m, d) for m in groups()["model"] for d in groups()["data"] if m not in compatible_models(d)]
    model, data = pairs[0]
    assert refusal(f"model={model}", f"data={data}").startswith(f"model={model} does not fit data={data}: ")


MISTAKES: list[tuple[list[str], str]] = [
    # Misspelled groups, choices and keys.
    (["modle=mlp"], "modle: there is no modle at the top level; did you mean mod"),
    (["optimiser=adam"], "did you mean optimizer?"),
    (["regularization/augmentaton=flip"], "did you mean regularization/augmentation?"),
    (["model=mpl"], "model=mpl: there is no such model; did you mean mlp?"),
    (["optimizer=Adam"], "did you mean adam?"),
    (["model=_recurrent"], "model has no _target_: its file must name a class"),
    (["data=_base"], "data has no _target_: its file must name a class"),
    (["callbacks=[_checkpoint,bad]"], "callbacks=bad: there is no such callbacks"),
    (["callbacks=_progress", "seeed=1"], "did you mean seed?"),
    (["regularization/augmentation=flp"], "there is no such augmentation; did you mean flip?"),
    (["regularization/augmentation=[flip,cutot]"], "cutot: there is no such augmentation; did you mean cutout?"),
    (["regularization.augmentation.flip.probability=0.3"],
     "flip is not selected; select it with regularization/augmentation="),
    (["+regularization.augmentation.flip.probability=0.3"],
     "flip is not selected; select it with regularization/augmentation="),
    (["regularization/augmentation=flip", "regularization.augmentation.shift.padding=3"], "shift is not selected"),
    (["experiment=mnist_lenet", "regularization/augmentation=none", "regularization.augmentation.shift.padding=3"],
     "shift is not selected"),
    (["regularization/augmentation=flip", "regularization.augmentation.flip.probabilty=1"], "mean probability?"),
    (["regularization/augmentation=flip", "+regularization.augmentation.flip.share=1"], "Flip does not accept share"),
    (["regularization.augmentation=null"], "regularization.augmentation must be a mapping, not None"),
    (["logger.wandb.project=mine"], "wandb is not selected; select it with logger=wandb"),
    (["debug=[fast,limit]", "seeed=1"], "did you mean seed?"),
    (["debug=fats"], "did you mean fast?"),
    (["model=null"], "model=null: there is no such model"),
    (["model=3"], "model=3: there is no such model"),
    (["model="], "there is no such model"),
    (["seeed=1"], "did you mean seed?"),
    (["optimizer.lrr=0.1"], "optimizer.lrr: there is no lrr in optimizer; did you mean lr?"),
    (["trainer.max_epoch=3"], "did you mean max_epochs?"),
    (["data.batchsize=3"], "did you mean batch_size?"),
    (["data.path=x"], "there is no path in data"),
    (["regularization.early_stopping.patince=3"], "no patince in regularization.early_stopping; did you mean"),
    (["regularisation.early_stopping.patience=3"], "did you mean regularization?"),
    (["callbacks.checkpoint.monitr=x"], "did you mean monitor?"),
    (["callbacks.progress.color=red"], "there is no color in callbacks.progress; it does not accept any"),
    (["paths.data_dirr=x"], "did you mean data_dir?"),
    (["scheduler=cosine", "scheduler.Tmax=3"], "did you mean T_max?"),
    (["hydra.jbo=3"], "there is no jbo in hydra; did you mean job?"),
    (["hydra/launcher=joblb"], "hydra/launcher=joblb: there is no such launcher; did you mean joblib?"),
    # Added keys.
    (["+optimizer.lrr=1"], "optimizer.lrr: Adam does not accept lrr; did you mean lr?"),
    (["+model.hiden_sizes=[3]"], "MLP does not accept hiden_sizes; did you mean hidden_sizes?"),
    (["++trainer.max_epoch=1"], "did you mean max_epochs?"),
    (["+scheduler.gamma=1"], "Schedule does not accept gamma"),
    (["+accelerator.device=1"], "did you mean devices?"),
    (["+regularization.early_stopping.delta=1"], "EarlyStopping does not accept delta"),
    (["+optimiser.lr=1"], "there is no optimiser at the top level; did you mean optimizer?"),
    # Values of the wrong type.
    (["seed=abc"], "seed must be an integer or null, not 'abc'"),
    (["seed=1.5"], "seed must be an integer or null, not 1.5"),
    (["test=maybe"], "test must be true or false, not 'maybe'"),
    (["mode=minimum"], "mode must be one of min, max or null, not 'minimum'"),
    (["resume=5"], "resume must be a string or null, not 5"),
    (["optimizer.lr=fast"], "optimizer.lr must be a number, not 'fast'"),
    (["optimizer.lr=null"], "optimizer.lr must be a number, not None"),
    (["optimizer.lr=true"], "optimizer.lr must be a number, not True"),
    (["optimizer.betas=0.9"], "optimizer.betas must be a list, not 0.9"),
    (["optimizer.betas=[0.9]"], "optimizer.betas must be a list of 2, not [0.9]"),
    (["trainer.max_epochs=5.0"], "trainer.max_epochs must be an integer or null, not 5.0"),
    (["trainer.max_epochs='5'"], "trainer.max_epochs must be an integer or null, not '5'"),
    (["trainer.compile=1"], "trainer.compile must be true or false, not 1"),
    (["data.batch_size=fll"], "data.batch_size must be an integer or one of full, not 'fll'"),
    (["data.split_seed=null"], "data.split_seed must be an integer, not None"),
    (["model.hidden_sizes=64"], "model.hidden_sizes must be a list, not 64"),
    (["model.hidden_sizes=[64,x]"], "model.hidden_sizes must be a list, each an integer, not [64, 'x']"),
    (["regularization/augmentation=flip", "regularization.augmentation.flip.probability=often"], "must be a number"),
    (["regularization/augmentation=rotate", "regularization.augmentation.rotate.scale=[1]"], "a list of 2, not [1]"),
    (["model.activation=Relu"], "model.activation must be one of step, sigmoid, tanh, softmax, relu"),
    (["regularization.early_stopping.patience=long"], "patience must be an integer or null, not 'long'"),
    (["scheduler.warmup=long"], "scheduler.warmup must be a number, not 'long'"),
    (["scheduler.interval=batch"], "scheduler.interval must be one of step, epoch, not 'batch'"),
    (["accelerator.num_nodes=two"], "accelerator.num_nodes must be an integer, not 'two'"),
    (["hydra.job.chdir=true"], "hydra.job.chdir=true: a run cannot change the working directory"),
    (["callbacks=[null]"], "callbacks=null: there is no such callbacks"),
    (["~callbacks.pictures", "+callbacks.pictures.images=3"], "callbacks.pictures has no _target_"),
    # Invalid syntax, interpolations and sweeps.
    (["mlp"], "'mlp' cannot be parsed: an override looks like model=lstm"),
    (["=3"], "'=3' cannot be parsed"),
    (["a=b=c"], "'a=b=c' cannot be parsed"),
    (["model.hidden_sizes=[64"], "'model.hidden_sizes=[64' cannot be parsed: an override looks like"),
    (["data.path=/x/tü.txt"], """cannot be parsed: quote such a value twice, "data.path='/x/tü.txt'\""""),
    (["data.target=Temp (°C)"], """quote such a value twice, "data.target='Temp (°C)'\""""),
    (["optimizer.lr=${rate}"], "Interpolation key 'rate' not found"),
    (["~model"], "model is required"),
    (["~data"], "data is required"),
    (["model=mlp,mlp"], "model=mlp,mlp: several values make a sweep, which requires -m"),
    (["optimizer.lr=0.1,0.2"], "which requires -m"),
    # Targets.
    (["model._target_=os.system"], "'os.system' is not allowed"),
    (["model._target_=builtins.eval"], "'builtins.eval' is not allowed"),
    (["model._target_=primer.run.accelerators.os.system"], "primer.run.accelerators.os.system does not exist"),
    (["model._target_=3"], "3 is not allowed"),
    (["optimizer._target_=primer.optim.Moun"], "primer.optim.Moun does not exist"),
    # Incompatible combinations.
    (["objective=mse"], "objective=mse does not fit data=digits: it expects targets of type Values, but digits"),
    (["objective=gaussian_nll"], "for digits: objective=auto, bce, cross_entropy"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "expected"), MISTAKES, ids=[" ".join(overrides) for overrides, _ in MISTAKES])
def test_a_mistake_is_reported_in_one_line(overrides: list[str], expected: str) -> None:
    assert expected in refusal(*overrides)


def test_image_augmentation_is_rejected_for_other_data() -> None:
    not_images = [
        name for name in groups()["data"] if not is_compatible("primer.regularization.Flip", target_of("data", name))
    ]
    if not not_images:
        pytest.skip("every data set contains images")
    message = refusal(
        f"data={not_images[0]}", f"model={compatible_models(not_images[0])[0]}", "regularization/augmentation=flip"
    )
    assert message.startswith(f"regularization/augmentation=flip does not fit data={not_images[0]}: ")
    valid = message.rsplit("regularization/augmentation=", 1)[1].split(", ")
    assert "none" in valid
    assert "flip" not in valid
    assert ": flip expects inputs of type Image" in message


def test_each_augmentation_step_of_a_list_is_checked_against_the_data() -> None:
    message = refusal("data=iris", "regularization/augmentation=[light,mixup]")
    assert message.startswith("regularization/augmentation=[shift,rotate,mixup] does not fit data=iris: shift expects ")
    assert set(targets_of("regularization/augmentation", "crop_flip")) == {
        "primer.regularization.Flip",
        "primer.regularization.Shift",
    }
    assert targets_of("regularization/augmentation", "none") == targets_of("regularization/augmentation", "flop") == ()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["runn=x"], "did you mean run?"),
        (["part=tset"], "part must be one of train, val, test, not 'tset'"),
        (["run=3"], "run must be a string or null, not 3"),
        (["samples.length=long"], "samples.length must be an integer, not 'long'"),
        (["model=mlp"], "model: evaluate does not use this group"),
        (["accelerator=gpuu"], "did you mean gpu?"),
    ],
)
def test_a_mistake_in_evaluate(overrides: list[str], expected: str) -> None:
    assert expected in refusal(*overrides, name="evaluate")


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data.batch_size=full"],
        ["trainer.limit_train_batches=0.5"],
        ["trainer.limit_train_batches=3"],
        ["scheduler=cosine", "scheduler.warmup=0.1", "optimizer=sgd"],
        ["regularization=strong", "regularization.dropout=0.3", "regularization/augmentation=crop_flip"],
        ["regularization/augmentation=[shift,cutout]", "regularization.augmentation.cutout.area=[0.1,0.2]"],
        ["regularization/augmentation=[]"],
        ["experiment=mnist_lenet", "regularization/augmentation=none"],
        ["regularization/augmentation=strong", "~regularization.augmentation.flip"],
        ["+trainer.benchmark=true"],
        ["+optimizer.amsgrad=true"],
        ["seed=null"],
        ["debug=[fast,limit]"],
        ["~logger"],
        ["callbacks=none"],
        ["callbacks=[_checkpoint,_pictures]"],
        ["~callbacks.pictures", "callbacks.samples.length=0"],
        ["model.hidden_sizes=[]"],
        ["optimizer.lr=1"],
    ],
)
def test_valid_commands_pass(overrides: list[str]) -> None:
    check_command("train", overrides)


def test_every_job_of_a_sweep_is_checked() -> None:
    check_command("train", ["model=mlp", "optimizer=adam,sgd", "seed=0,1"], multirun=True)
    check_command("train", ["optimizer=glob(ad*)"], multirun=True)
    check_command("train", ["regularization/augmentation=none,flip,[flip,cutout]"], multirun=True)
    assert "did you mean cutout?" in refusal("regularization/augmentation=none,[flip,cutot]", multirun=True)
    assert "did you mean mlp?" in refusal("optimizer=adam,sgd", "model=mlp,mlpp", multirun=True)
    assert "seed must be an integer" in refusal("optimizer=adam,sgd", "seed=x,y", multirun=True)
    assert "SGD does not accept betas" in refusal("optimizer=sgd", "+optimizer.betas=[1,2],[3,4]", multirun=True)


def test_a_mistake_of_some_jobs_does_not_stop_a_sweep_before_it_starts() -> None:
    check_command("train", ["optimizer=adam,sgd", "seed=0,1,x"], multirun=True)
    check_command("train", ["model=mlp,lstm", "data=digits,iris"], multirun=True)


def test_suggest() -> None:
    assert suggest("lsmt", ["gru", "lstm"]) == "did you mean lstm? valid: gru, lstm"
    assert suggest("zzz", ["gru", "lstm"]) == "valid: gru, lstm"
    assert suggest("zzz", []) == "it does not accept any"


def test_shared_config_parts_are_not_choices() -> None:
    assert not any(choice.startswith("_") for choices in groups().values() for choice in choices)
    assert "_base" not in groups()["data"]


def test_a_preset_inherits_its_target() -> None:
    assert target_of("model", "resnet20") == target_of("model", "resnet18") == target_of("model", "resnet56")
    assert target_of("model", "vgg11_bn") == target_of("model", "vgg16") == "primer.models.convolutional.vgg.VGG"
    assert target_of("model", "nonexistent") is None


def test_single_callbacks_compose_the_default() -> None:
    default = compose_checked("train", []).callbacks
    assert list(default) == [
        "checkpoint",
        "last",
        "progress",
        "finite",
        "baseline",
        "pictures",
        "attention",
        "acting",
        "samples",
        "word_vectors",
        "latent_space",
        "generated_samples",
        "sample_quality",
        "predictions",
        "report",
    ]
    files = sorted(file.stem for file in (CONFIGS / "callbacks").glob("_*.yaml"))
    single = [compose_checked("train", [f"callbacks={file}"]).callbacks for file in files]
    assert all(len(nodes) == 1 for nodes in single)
    gradients = compose_checked("train", ["callbacks=gradients"]).callbacks
    assert sorted(gradients) == sorted(name for nodes in single for name in nodes)
    assert list(gradients) == [*default, "gradients"]


def test_samples_are_the_same_in_training_and_evaluation() -> None:
    training = OmegaConf.to_container(compose_checked("train", []).callbacks.samples)
    assert OmegaConf.to_container(compose_checked("evaluate", []).samples) == training


def test_mistakes_are_reported_without_importing_torch() -> None:
    script = (
        "import sys\n"
        "from primer.cli.checks import check_command\n"
        "from primer.errors import InputError\n"
        "for line in (['model=mpl'], ['objective=mse'], ['seed=x'], ['optimizer.lrr=1'], []):\n"
        "    try: check_command('train', line)\n"
        "    except InputError as error: print(error)\n"
        "print(sorted({'torch', 'lightning', 'numpy', 'sklearn'} & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )  # fmt: skip
    lines = result.stdout.strip().splitlines()
    assert len(lines) == 5
    assert lines[-1] == "[]"


def test_a_model_without_targets_accepts_any_data_with_its_inputs() -> None:
    autoencoder, digits = "models.kinds.autoencoder.Autoencoder", target_of("data", "digits")
    assert is_compatible(autoencoder, digits)
    assert is_compatible(autoencoder, target_of("data", "diabetes"))
    assert not is_compatible(autoencoder, target_of("data", "text"))
    assert not is_compatible("models.kinds.dqn.DQN", digits)
    assert is_compatible("models.kinds.dqn.DQN", "models.kinds.cartpole.CartPole")
