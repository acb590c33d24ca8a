"""What stands between the command line and the work: help, checks, and errors of one line."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from primer.config import ROOT
from primer.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(main: Callable[[], None], name: str) -> None:
    """Runs a Hydra entry point. A mistake of the user ends it with one line and status 2.

    Args:
        main: the function that ``hydra.main`` made.
        name: of its primary config.
    """
    from hydra._internal.utils import get_args_parser
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    os.environ.setdefault("PRIMER_ROOT", str(ROOT))
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Errors reach this function instead of being printed on the way.
    args = get_args_parser().parse_args()
    if args.help:
        from primer.help import help_text

        print(help_text(name))
        return
    shows = args.cfg or args.info or args.hydra_help or args.shell_completion
    other_config = args.config_name or args.config_path or args.config_dir or args.experimental_rerun
    try:
        if not shows and not other_config:
            from primer.checks import check_command

            check_command(name, args.overrides, args.multirun)
        main()
    except InputError as error:
        fail(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        from primer.checks import explain

        fail(explain(name, args.overrides, error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def job(cfg: DictConfig, function: str) -> float | None:
    """Does the work of one job and says where its results lie.

    Args:
        cfg: the composed config.
        function: the dotted path of what takes the config and gives metrics.

    Returns:
        The metric that a sweep optimizes, where the config names one.
    """
    module, name = function.rsplit(".", 1)
    folder = Path(cfg.paths.output_dir)
    try:
        with sweep_folder():
            metrics = getattr(import_module(module), name)(cfg)
    except InputError as error:
        discard(folder, Path(cfg.paths.log_dir))
        fail(str(error))
    except Exception as error:
        if type(error).__name__ != "MisconfigurationException":  # Lightning's name for settings that clash.
            raise
        discard(folder, Path(cfg.paths.log_dir))
        fail(str(error))
    from primer.console import say

    wanted = cfg.get("optimized_metric")
    if wanted is not None and wanted not in metrics:
        print(f"optimized_metric={wanted} was not measured; there are {', '.join(metrics)}", file=sys.stderr)
    say(f"run: {os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else folder}")
    return metrics.get(wanted)


@contextmanager
def sweep_folder() -> Iterator[None]:
    """Tells the processes that a job of a sweep starts, which run the same command, where the sweep's folder is."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    config = HydraConfig.get() if HydraConfig.initialized() else None
    if config is None or config.mode is not RunMode.MULTIRUN or "PRIMER_SWEEP" in os.environ:
        yield
        return
    os.environ["PRIMER_SWEEP"] = config.sweep.dir
    try:
        yield
    finally:
        del os.environ["PRIMER_SWEEP"]


def fail(message: str) -> NoReturn:
    """Prints one line and ends with status 2."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def discard(folder: Path, log_dir: Path) -> None:
    """Takes away the folder of a run that was refused, and the folders above it that are empty then."""
    if (folder / "checkpoints").exists() or (folder / "metrics.csv").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    for parent in folder.parents:
        if parent == log_dir or not parent.is_relative_to(log_dir) or any(parent.iterdir()):
            break
        parent.rmdir()
