"""What stands between the command line and the work: help, checks, and errors of one line."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from primer.config.paths import ROOT
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
        from primer.cli.help import help_text

        print(help_text(name))
        return
    shows = args.cfg or args.info or args.hydra_help or args.shell_completion
    other_config = args.config_name or args.config_path or args.config_dir or args.experimental_rerun
    try:
        if not shows and not other_config:
            from primer.cli.checks import check_command

            check_command(name, args.overrides, args.multirun)
        main()
    except InputError as error:
        fail(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        from primer.cli.composition import diagnose_overrides

        fail(diagnose_overrides(name, args.overrides, error))
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
    folder, log_dir = Path(cfg.paths.output_dir), Path(cfg.paths.log_dir)
    first = files_created_before_training(folder)
    try:
        with sweep_folder():
            metrics = getattr(import_module(module), name)(cfg)
    except InputError as error:
        discard(folder, first, log_dir)
        fail(str(error))
    except Exception as error:
        if type(error).__name__ != "MisconfigurationException":  # Lightning's name for settings that clash.
            raise
        discard(folder, first, log_dir)
        fail(str(error))
    from primer.records.console import say

    say(f"run: {os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else folder}")
    return metrics.get("optimized")


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


def files_created_before_training(folder: Path) -> list[Path]:
    """What a run writes before it has any results and may take away again: those files and folders that are not there
    yet, and its log, which Hydra has opened already, where nothing stands in it."""
    from primer.records.run_folder import PROVENANCE_FILES

    handlers = [one for one in logging.getLogger().handlers if isinstance(one, logging.FileHandler)]
    logs = [file for one in handlers if (file := Path(one.baseFilename)).is_file() and not file.stat().st_size]
    return [path for name in PROVENANCE_FILES if not (path := folder.absolute() / name).exists()] + logs


def discard(folder: Path, files: list[Path], log_dir: Path) -> None:
    """Takes away what a refused run has written, and the folders that are empty then: nothing else, since the folder
    may be one of the user's own.

    Args:
        folder: of the run. Where it has results, all stays.
        files: what ``files_created_before_training`` has named before the run.
        log_dir: the folder of all logs, which stays.
    """
    if (folder / "checkpoints").exists() or (folder / "metrics.csv").exists():
        return
    for file in files:
        if file.is_dir():
            shutil.rmtree(file, ignore_errors=True)
        else:
            file.unlink(missing_ok=True)
    for place in dict.fromkeys([folder.absolute(), *(file.parent for file in files)]):
        above = [parent for parent in place.parents if parent.is_relative_to(log_dir.absolute())]
        for empty in [place, *above]:
            if empty in (log_dir.absolute(), Path.cwd()) or not empty.is_dir() or any(empty.iterdir()):
                break
            empty.rmdir()
