"""Entry points of the commands: prints help, checks the config, runs the job and reports errors in one line."""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from omegaconf import OmegaConf

from primer.cli.failures import explain
from primer.cli.processes import PART_OF_JOB
from primer.config.paths import ROOT, expand_home
from primer.config.secrets import redact
from primer.errors import InputError, Interrupted, PrunedError, RunError
from primer.records.signals import NOTHING_SAVED, signals

if TYPE_CHECKING:
    from omegaconf import DictConfig

OmegaConf.register_resolver("expanduser", os.path.expanduser, replace=True)  # For configs/hydra.


PATHS = ("run", "ckpt", "resume", "weights")
"""Top-level settings in which ``~`` stands for the home folder, as in all of ``paths``."""


class CommandError(SystemExit):
    """Ends a command with a status, after its error message has been printed."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(status)
        self.message = redact(message)


def run(main: Callable[[], None], name: str) -> None:
    """Runs a Hydra entry point. User errors print one line and exit with status 2.

    Args:
        main: the function decorated with ``hydra.main``.
        name: the name of its primary config.
    """
    from hydra._internal.utils import _run_hydra, get_args_parser
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from primer.cli import default_model

    default_model.install()
    os.environ.setdefault("PRIMER_ROOT", str(ROOT))
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Let Hydra raise errors, not print them.
    sys.argv[1:] = [expand_home(text) for text in sys.argv[1:]]
    logging.raiseExceptions = False  # A log that cannot be written, as on a full disk, must not print a traceback.
    parser = get_args_parser()
    args, unknown = parser.parse_known_intermixed_args()
    if unknown:
        fail(explain_option(name, unknown[0], args.overrides))
    if args.help:
        from primer.cli.help import help_text

        print(help_text(name))
        return
    prints_only = args.cfg or args.info or args.hydra_help or args.shell_completion
    other_config = args.config_name or args.config_path or args.experimental_rerun
    sweep_folder: Path | None = None
    searched = [f"hydra.searchpath=['file://{os.path.abspath(args.config_dir)}']"] if args.config_dir else []
    try:
        with signals.installed():
            if args.multirun and not prints_only and name == "train":
                from primer.cli.sweeps import resume_sweep, without_deletions

                args.overrides = resume_sweep(without_deletions(args.overrides))
            if not other_config and not args.shell_completion:
                from primer.cli.earlier_runs import use_earlier_runs

                use_earlier_runs(name, args)
            if not prints_only and not other_config and PART_OF_JOB not in os.environ:
                from primer.cli.checks import check_command

                check_command(name, args.overrides + searched, args.multirun, args.config_name)
            if args.multirun and not prints_only:
                from primer.cli.sweeps import start_sweep

                sweep_folder, args.overrides = start_sweep(args.config_name or name, args.overrides)
            # What the function decorated with hydra.main does, with arguments that may include those of an earlier run.
            task = inspect.unwrap(main)
            _run_hydra(args=args, args_parser=parser, task_function=task, config_path="configs", config_name=name)
            if sweep_folder is not None:
                from primer.cli.sweeps import finish_sweep

                raise SystemExit(finish_sweep(sweep_folder, trained=name == "train"))
    except InputError as error:
        fail(str(error))
    except RunError as error:
        fail(str(error), 1)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        from primer.cli.composition import diagnose_overrides

        fail(diagnose_overrides(args.config_name or name, args.overrides + searched, error))
    except OSError as error:  # Hydra cannot create the run folder.
        if (explained := explain(error)) is None:
            raise
        fail(*explained)
    except Interrupted as interrupted:
        if os.environ.get("LOCAL_RANK", "0") != "0":  # Another status would make Lightning kill the main process.
            raise SystemExit(0) from None
        print(interrupted.message, file=sys.stderr)
        if sweep_folder is not None:
            print(f"to continue the sweep: python {name}.py -m sweep.resume={sweep_folder}", file=sys.stderr)
        raise SystemExit(interrupted.code) from None


def job(cfg: DictConfig, function: str) -> float | list[float] | None:
    """Runs one job and prints its run folder.

    Args:
        cfg: the composed config.
        function: the dotted path of a function from a config to metrics, imported only now since it needs torch.

    Returns:
        The metrics that a sweep optimizes, or None if there are none.
    """
    from primer.cli.announcement import announce

    if not in_sweep():
        announce(cfg)
        return run_one(cfg, function).get("optimized")
    from primer.cli.sweeps import run_job

    return run_job(cfg, lambda: announce(cfg), lambda: run_one(cfg, function))


def in_sweep() -> bool:
    """Whether the current job is one of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


def run_one(cfg: DictConfig, function: str, **arguments: Any) -> dict[str, float]:
    """Runs one job, prints its run folder, and returns its metrics. Its arguments are those of ``job``, and more
    arguments of the function."""
    module, name = function.rsplit(".", 1)
    from primer.records.ownership import LOCK

    for node, keys in ((cfg.paths, list(cfg.paths)), (cfg, PATHS)):
        for key in keys:
            if isinstance(node.get(key), str):
                node[key] = os.path.expanduser(node[key])
    folder, log_dir = Path(cfg.paths.output_dir), Path(cfg.paths.log_dir)
    created_files, is_new = files_created_before_training(folder), not has_results(folder)
    signals.outcome = NOTHING_SAVED
    try:
        metrics = getattr(import_module(module), name)(cfg, **arguments)
    except PrunedError:
        raise
    except InputError as error:
        if not (folder / LOCK).exists():  # Otherwise, the files are those of the run that owns the folder.
            discard(folder, created_files, log_dir)
        fail(str(error), 1 if is_new and has_results(folder) else 2)  # It cannot be rejected once it has trained.
    except RunError as error:
        fail(str(error), 1)
    except Interrupted:
        discard(folder, created_files, log_dir)
        raise
    except Exception as error:
        if (explained := explain(error)) is None:
            raise
        logging.getLogger(__name__).info("the run failed", exc_info=error)
        message, status = explained
        if status == 2:
            discard(folder, created_files, log_dir)
            status = 1 if is_new and has_results(folder) else 2
        if status == 1 and name == "train" and (folder / "checkpoints" / "last.ckpt").exists():
            message += f"; to continue from the last checkpoint: python train.py resume={folder}"
        fail(message, status)
    from primer.records.console import is_main_process, say

    say(f"run: {os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else folder}")
    if not is_main_process() and not has_results(folder):  # torchrun and srun give each process a folder of its own.
        discard(folder, log_files(), log_dir)
    return metrics


def explain_option(name: str, option: str, overrides: list[str]) -> str:
    """Explains in one line that settings are not options, as in ``--epochs 5`` or ``--model=lstm``."""
    from primer.cli.composition import compose_checked
    from primer.cli.suggestions import correct

    key, _, value = option.lstrip("-").replace("-", "_").partition("=")
    if not value:
        value = next((one for one in overrides if "=" not in one), "")
    written = correct(compose_checked(name, []), key, value)
    return f"{option}: settings are written without dashes, as key=value: {written}"


def call(cfg: DictConfig, function: str) -> None:
    """Calls a function that needs no run folder.

    Args:
        cfg: the composed config.
        function: the dotted path of a function of a config, imported only now since it needs torch.
    """
    module, name = function.rsplit(".", 1)
    try:
        getattr(import_module(module), name)(cfg)
    except InputError as error:
        fail(str(error))
    except Exception as error:
        if (explained := explain(error)) is None:
            raise
        fail(*explained)


def fail(message: str, status: int = 2) -> NoReturn:
    """Prints an error on one line, from the main process only, and exits with a status."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(f"error: {' '.join(redact(message).split())}", file=sys.stderr)
    raise CommandError(message, status)


def files_created_before_training(folder: Path) -> list[Path]:
    """Returns the paths that a run creates before training starts, which ``discard`` may delete.

    These are the provenance files that do not exist yet, and the log file that Hydra has already opened if it is empty.
    """
    from primer.records.run_folder import PROVENANCE_FILES

    logs = [file for file in log_files() if not file.stat().st_size]
    return [path for name in PROVENANCE_FILES if not (path := folder.absolute() / name).exists()] + logs


def log_files() -> list[Path]:
    """Returns the log files that Hydra has opened."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]
    return [file for handler in handlers if (file := Path(handler.baseFilename)).is_file()]


def has_results(folder: Path) -> bool:
    """Returns whether a run has begun to train in a folder."""
    return (folder / "checkpoints").exists() or (folder / "metrics.csv").exists()


def discard(folder: Path, files: list[Path], log_dir: Path) -> None:
    """Deletes files created by a rejected run, and directories left empty; never touches user files.

    Args:
        folder: the run folder, which may be a directory of the user's. If it has results, nothing is deleted.
        files: the result of ``files_created_before_training`` before the run.
        log_dir: the directory of all logs, which is kept.
    """
    from primer.records.run_folder import remove

    if has_results(folder):
        return
    for file in files:
        remove(file)
    for directory in dict.fromkeys([folder.absolute(), *(file.parent for file in files)]):
        parents = [parent for parent in directory.parents if parent.is_relative_to(log_dir.absolute())]
        for candidate in [directory, *parents]:
            if candidate in (log_dir.absolute(), Path.cwd()) or not candidate.is_dir() or any(candidate.iterdir()):
                break
            candidate.rmdir()
