"""What all tests share. Shapes in signatures are checked while the tests run, and at no other time."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jaxtyping
import pytest

# Before they are imported: shapes such as Float[Tensor, "batch features"] are held against what comes.
jaxtyping.install_import_hook("primer.models", "beartype.beartype")

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PRIMER_ROOT", str(Path(__file__).resolve().parents[1]))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")


@pytest.fixture
def record_figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """A function that has a line printed at the end of the tests, whatever process they run in: a figure that was
    measured, beside the one that it is held against."""
    return partial(record_property, "figure")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    lines = [text for report in reports for name, text in report.user_properties if name == "figure"]
    if lines:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(sorted(lines)))


@pytest.fixture
def quiet_trainer(tmp_path: Path) -> Callable[..., Any]:
    """A factory of Lightning trainers on the CPU that write and show nothing unless they are asked to."""

    def make(**settings: Any) -> Any:
        import lightning as L

        quiet: dict[str, Any] = {
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "use_distributed_sampler": False,
            "default_root_dir": tmp_path,
        }
        return L.Trainer(**(quiet | settings))

    return make


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Any]:
    """A function that gives the config of a command, ``train`` or ``evaluate``, with some overrides, whose output goes
    into a folder of that name."""

    def make(name: str, folder: str, *overrides: str) -> Any:
        from omegaconf import OmegaConf

        from primer.cli.composition import compose_checked

        cfg = compose_checked(name, list(overrides))
        OmegaConf.set_struct(cfg, False)
        del cfg["hydra"]
        cfg.paths.output_dir = str(tmp_path / folder)
        return cfg

    return make


@pytest.fixture
def data_dir_or_skip() -> Callable[[str], Path]:
    """A function that gives a path within ``PRIMER_DATA_DIR``, or skips the test where there is no such file."""

    def find(name: str) -> Path:
        folder = os.environ.get("PRIMER_DATA_DIR")
        if not folder:
            pytest.skip("PRIMER_DATA_DIR is not set: no data from outside the clone")
        path = Path(folder) / name
        if not path.exists():
            pytest.skip(f"{path} is not there")
        return path

    return find
