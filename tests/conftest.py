"""Fixtures shared by all tests. Also turns on runtime checks of annotated shapes, for the tests only."""

from __future__ import annotations

import gc
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
from helpers.commands import run_in_process, run_in_subprocess  # noqa: F401  # Fixtures.

# Install before any model is imported, so that shapes such as Float[Tensor, "batch features"] are checked at run time.
jaxtyping.install_import_hook("primer.models", "beartype.beartype")

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PRIMER_ROOT", str(Path(__file__).resolve().parents[1]))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    import torch

    torch.set_num_threads(1)
    gc.freeze()  # What has been imported stays, so that no collection has to look at it, which takes half a second.
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Restores the handler of SIGINT: a shell script ignores it in the commands that it runs in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")


@pytest.fixture
def record_figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Returns a function that records a line, usually a measured value next to its baseline. All recorded lines are
    printed at the end of the test session, whichever worker process they come from."""
    return partial(record_property, "figure")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    lines = [text for report in reports for name, text in report.user_properties if name == "figure"]
    if lines:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(sorted(lines)))


@pytest.fixture
def quiet_trainer(tmp_path: Path) -> Callable[..., Any]:
    """Returns a factory of CPU trainers that write and display nothing by default. Keyword arguments override."""

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
    """Returns a function that composes the config of a command (``train`` or ``evaluate``) with overrides and sets its
    output folder to ``tmp_path / folder``."""

    def compose(name: str, folder: str, *overrides: str) -> Any:
        from omegaconf import OmegaConf

        from primer.cli.composition import compose_checked

        cfg = compose_checked(name, list(overrides))
        OmegaConf.set_struct(cfg, False)
        del cfg["hydra"]
        cfg.paths.output_dir = str(tmp_path / folder)
        return cfg

    return compose


@pytest.fixture
def data_dir_or_skip() -> Callable[[str], Path]:
    """Returns a function that resolves a path within ``PRIMER_DATA_DIR`` and skips the test if it does not exist."""

    def resolve(name: str) -> Path:
        folder = os.environ.get("PRIMER_DATA_DIR")
        if not folder:
            pytest.skip("PRIMER_DATA_DIR is not set: no data from outside the clone")
        path = Path(folder) / name
        if not path.exists():
            pytest.skip(f"{path} does not exist")
        return path

    return resolve
