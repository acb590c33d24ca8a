"""README's commands run, its code works and its tables are complete."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import primer
from primer import __main__
from primer.cli.checks import check_command
from primer.cli.choices import groups
from primer.cli.composition import expand_sweep, parse_override
from primer.config.paths import ROOT
from primer.models.base import Model

README = (ROOT / "README.md").read_text()
RUN = "logs/train/runs/2026-01-31_12-00-00-000000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(start: str) -> list[str]:
    lines = [line.split(" #")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith(start)))


@pytest.mark.parametrize("line", [line for line in commands("python train.py") if RUN not in line])
def test_a_training_command_runs(line: str, run_in_process, request) -> None:
    arguments = shlex.split(line)[2:]
    # test_processes.py and test_batch_size.py run these, since they start subprocesses or take long.
    if {"accelerator=ddp_cpu", "debug=batch_size"} & set(arguments):
        check_command("train", arguments)
        return
    # test_ready_sweeps.py, test_optuna.py and test_launchers.py.
    if any("sweep=" in text or "sweeper=" in text or "launcher=" in text for text in arguments):
        check_command("train", [text for text in arguments if text != "-m"], multirun=True)
        return
    complete = any(word.startswith(("--help", "debug=")) for word in arguments)
    result = run_in_process(
        "train.py", *arguments, *([] if complete else ["debug=fast"]), logs="--help" not in arguments
    )
    assert result.status == 0, result.err
    if "--help" not in arguments:
        assert result.folder.is_dir()


def test_the_commands_for_several_machines_are_valid() -> None:
    """They are run by torchrun on one machine in test_processes.py."""
    text = (ROOT / "docs" / "devices.md").read_text().replace("\\\n", "")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    commands = [re.search(r"train\.py(.*)", block) for block in blocks]
    assert len(commands) == 3
    for command in commands:
        assert command
        arguments = shlex.split(command[1])
        check_command("train", [text for text in arguments if text != "-m"], multirun="-m" in arguments)


def test_the_commands_on_a_run_work(run_in_process, tmp_path) -> None:
    folder = str(run_in_process("train.py", "trainer.max_epochs=2").folder)
    evaluate, sample = commands("python evaluate.py")
    assert run_in_process("evaluate.py", *shlex.split(evaluate.replace(RUN, folder))[2:]).status == 0
    resume, transfer = [line for line in commands("python train.py") if RUN in line]
    assert run_in_process("train.py", *shlex.split(resume.replace(RUN, folder))[2:]).status == 0
    result = run_in_process("train.py", *shlex.split(transfer.replace(RUN, folder))[2:], "trainer.max_epochs=1")
    assert result.status == 0, result.err
    (compare,) = commands("python -m primer compare")
    words = [
        word.replace("logs/", f"{tmp_path}/logs/").replace("html=", f"html={tmp_path}/") for word in compare.split()
    ]
    assert __main__.main(words[3:]) == 0
    assert (tmp_path / "runs.html").is_file()
    (code,) = [block for block in blocks("python") if "primer.load" in block]
    (report,) = commands("python -m primer report")
    assert __main__.main(shlex.split(report.replace(RUN, folder))[3:]) == 0
    (export,) = commands("python -m primer export")
    assert __main__.main(shlex.split(export.replace(RUN, folder), comments=True)[3:]) == 0
    images = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8) % 17
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images):
        PIL.Image.fromarray(image).save(tmp_path / f"images/{number}.png")
    (predict,) = commands("python predict.py")
    words = [word.replace("=images", f"={tmp_path}/images") for word in shlex.split(predict.replace(RUN, folder))[2:]]
    words = [word.replace("=predictions", f"={tmp_path}/predictions") for word in words]
    assert run_in_process("predict.py", *words, logs=False).status == 0
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 4
    names: dict[str, object] = {"primer": primer, "images": images}
    exec(code.replace(RUN, folder), names)
    assert isinstance(names["model"], Model)
    text = str(run_in_process("train.py", "model=lstm", "data=text", "debug=fast").folder)
    result = run_in_process("evaluate.py", *shlex.split(sample.replace(RUN, text))[2:])
    assert (result.folder / "samples" / "sample.txt").is_file(), result.err


def test_make_targets_exist() -> None:
    for line in commands("make"):
        subprocess.run(["make", "-n", *line.split()[1:]], cwd=ROOT, check=True, capture_output=True)
    shown = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for target in ("setup", "train", "test", "test-all", "check", "bench", "lock", "clean", "help"):
        assert f"make {target} " in shown


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with the package that README writes in it."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("train.py", "evaluate.py"):
        shutil.copy(ROOT / name, folder)
    (setting,) = blocks("toml")
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + "\n" + setting)
    files = re.findall(r"`((?:lab|configs)/\S+)`:\n\n```\w+\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(files) == 8
    for name, text in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_your_own_package_is_listed(run_in_subprocess, clone) -> None:
    listed = run_in_subprocess("-m", "primer", "list", cwd=clone, PYTHONPATH=str(clone / "src"))
    assert re.search(r"^  data .*\brings\b", listed.out, re.MULTILINE)
    assert "highway" in listed.out


@pytest.mark.parametrize(
    "overrides", [("model=highway", "data=rings"), ("model=reconstructing", "objective=focal", "data=rings")]
)
def test_your_own_package_trains_and_loads(overrides: tuple[str, ...], run_in_subprocess, clone) -> None:
    python_path = {"PYTHONPATH": str(clone / "src")}
    result = run_in_subprocess("train.py", *overrides, cwd=clone, **python_path)
    assert result.status == 0, result.err
    accuracy = re.search(r"test/accuracy .*?  ([\d.]+)", result.out)
    assert accuracy
    assert float(accuracy[1]) > 0.95
    run = result.out.strip().splitlines()[-1].removeprefix("run: ")
    again = run_in_subprocess("evaluate.py", f"run={run}", cwd=clone, **python_path)
    assert again.status == 0, again.err
    assert f"  {accuracy[1]}" in again.out
    code = f"import primer; print(type(primer.load({run!r})).__module__)"
    loaded = run_in_subprocess("-c", code, cwd=clone, **python_path)
    assert loaded.out.startswith("lab."), loaded.err


def test_a_package_that_is_not_named_is_rejected(run_in_subprocess, clone, tmp_path) -> None:
    shutil.copytree(clone, tmp_path / "clone")
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "clone")
    result = run_in_subprocess(
        "train.py", "model=highway", cwd=tmp_path / "clone", PYTHONPATH=str(tmp_path / "clone" / "src")
    )
    assert result.status == 2
    assert "lab.highway.Highway" in result.err
    assert "packages" in result.err
    assert len(result.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "picture"),
    re.findall(r"^\| [^|]+ \| `python train.py ([^`]+)` \| `([^`]+)` \|$", README, re.MULTILINE),
)
def test_the_command_of_a_topic_draws_its_picture(command: str, picture: str, run_in_process) -> None:
    arguments = shlex.split(command)
    overrides = [argument for argument in arguments if argument != "-m"]
    check_command("train", overrides, multirun="-m" in arguments)
    if "experiment=" in command:  # test_pairs.py trains every experiment for two steps.
        return
    *_, job = expand_sweep([parse_override(override) for override in overrides])  # test_sweeps.py runs sweeps.
    result = run_in_process("train.py", *job, "debug=fast")
    assert result.status == 0, result.err
    found = [path for folder in ("pictures", ".") for path in (result.folder / folder).glob(picture.rstrip("/"))]
    assert found, sorted(result.folder.rglob("*"))


def test_every_row_of_the_topics_is_run() -> None:
    table = README.split("| topic | command | picture |\n| --- | --- | --- |\n")[1].split("\n\n")[0]
    rows = re.findall(r"^\| [^|]+ \| `python train.py ([^`]+)` \| `([^`]+)` \|$", README, re.MULTILINE)
    assert len(rows) == len(table.splitlines())


@pytest.mark.parametrize("path", re.findall(r"\]\((docs/[^)]+\.png)\)", README))
def test_pictures_are_small(path: str) -> None:
    assert (ROOT / path).stat().st_size < 60_000


@pytest.mark.parametrize(
    "group",
    [
        "optimizer",
        "scheduler",
        "objective",
        "regularization",
        "regularization/augmentation",
        "transfer",
        "accelerator",
        "callbacks",
        "logger",
        "debug",
    ],
)
def test_the_table_lists_every_choice(group: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| `{group}` |"))
    assert set(groups()[group]) <= set(re.findall(r"[a-z_0-9]+", row))


@pytest.mark.parametrize("group", ["model", "data"])
def test_the_tables_list_every_model_and_data_set(group: str) -> None:
    lines = README.splitlines()
    start = next(k for k, line in enumerate(lines) if f"| choices of `{group}` |" in line)
    end = lines.index("", start)
    listed = {
        name for line in lines[start:end] for cell in line.split("|")[2:] for name in re.findall(r"[a-z_0-9]+", cell)
    }
    assert set(groups()[group]) <= listed


def test_the_recipes_are_listed() -> None:
    listed = set(re.findall(r"`([a-z0-9_]+)`", "".join(line for line in README.splitlines() if line.startswith("| `"))))
    assert set(groups()["experiment"]) <= listed


def test_readme_is_narrow_but_for_tables() -> None:
    assert all(len(line) <= 120 for line in README.splitlines() if not line.startswith("|"))
    assert all(len(line) <= 200 for line in README.splitlines())


@pytest.mark.parametrize("path", re.findall(r"\]\((?!http)([^)]+)\)", README))
def test_links_point_to_existing_files(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.slow
def test_the_installation_without_make(tmp_path) -> None:
    (block,) = [block for block in blocks("bash") if "venv" in block]
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    result = subprocess.run(["bash", "-ec", block], cwd=tmp_path / "clone", capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().splitlines()[-1].startswith("run: ")
