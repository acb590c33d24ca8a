"""README is correct: its commands run, its code works and its tables are complete."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest

import primer
from primer.cli.checks import check_command
from primer.cli.choices import groups
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
    if "accelerator=ddp_cpu" in arguments:  # test_processes.py runs it, since it starts subprocesses.
        check_command("train", arguments)
        return
    result = run_in_process(
        "train.py", *arguments, *([] if "--help" in arguments else ["debug=fast"]), logs="--help" not in arguments
    )
    assert result.status == 0, result.err
    if "--help" not in arguments:
        assert result.folder.is_dir()


def test_the_commands_on_a_run_work(run_in_process) -> None:
    folder = str(run_in_process("train.py", "trainer.max_epochs=2").folder)
    evaluate, sample = commands("python evaluate.py")
    assert run_in_process("evaluate.py", *shlex.split(evaluate.replace(RUN, folder))[2:]).status == 0
    resume, transfer = [line for line in commands("python train.py") if RUN in line]
    assert run_in_process("train.py", *shlex.split(resume.replace(RUN, folder))[2:]).status == 0
    result = run_in_process("train.py", *shlex.split(transfer.replace(RUN, folder))[2:], "trainer.max_epochs=1")
    assert result.status == 0, result.err
    (code,) = [block for block in blocks("python") if "primer.load" in block]
    names: dict[str, object] = {"primer": primer}
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


def test_the_custom_model_and_data_set_train(run_in_subprocess, tmp_path) -> None:
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "train.py", tmp_path)
    files = re.findall(r"`((?:src|configs)/\S+)`:\n\n```\w+\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(files) == 4
    for name, text in files:
        (tmp_path / name).write_text(text)
    python_path = {"PYTHONPATH": str(tmp_path / "src")}
    listed = run_in_subprocess("-m", "primer", "list", cwd=tmp_path, **python_path)
    assert re.search(r"^rings .*x", listed.out, re.MULTILINE)
    assert "highway" in listed.out.splitlines()[0]
    result = run_in_subprocess("train.py", "model=highway", "data=rings", cwd=tmp_path, **python_path)
    assert result.status == 0, result.err
    accuracy = re.search(r"test/accuracy +(\S+)", result.out)
    assert accuracy
    assert float(accuracy[1]) > 0.95


@pytest.mark.parametrize(
    "group",
    [
        "model",
        "optimizer",
        "scheduler",
        "objective",
        "regularization",
        "regularization/augmentation",
        "accelerator",
        "callbacks",
        "logger",
        "debug",
    ],
)
def test_the_table_lists_every_choice(group: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| `{group}` |"))
    assert set(groups()[group]) <= set(re.findall(r"[a-z_0-9]+", row))


def test_the_table_lists_every_data_set() -> None:
    row = next(line for line in README.splitlines() if line.startswith("| `data` |"))
    assert set(groups()["data"]) <= set(re.findall(r"[a-z_0-9]+", row))


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
