"""Hydra's Optuna sweeper with what it lacks: pruning, and studies that are kept in the folder of the sweep and resumed.

The status of each trial comes from the record of its job, so it does not matter in which process the job ran. A trial
has the number of its job.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

import optuna
from hydra.utils import instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl, create_params_from_overrides
from omegaconf import DictConfig, ListConfig, OmegaConf
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from primer.config.fixed import override_value
from primer.errors import InputError
from primer.records.jobs import INTERNAL, read_job

Direction = Literal["minimize", "maximize"]

STUDY, JOURNAL = "sweep", "study.log"
"""The name of the study, and its file in the folder of the sweep."""

LOWER, HIGHER = ("loss", "mse", "rmse", "mae", "mase", "perplexity", "per", "fit_seconds", "steps", "epochs"), (
    "accuracy", "f1", "entity_f1", "precision", "recall", "auroc", "r2", "exact_match", "bleu", "return",
)  # fmt: skip
"""Metrics of which a lower or a higher value is known to be better, without their stage."""


EACH_EPOCH = ("val/", "train/")
"""How the names of metrics start that are logged after each epoch."""


class OptunaSweeper(OptunaSweeperImpl):
    """Searches with Optuna.

    Args:
        sampler: the config of the sampler.
        pruner: the config of the pruner; None or empty if every trial trains to its end.
        direction: ``minimize`` or ``maximize``, or a list for several objectives; None takes it from the name of the
            metric.
        n_trials: the number of trials of the study, with those that it has when it is resumed.
        n_jobs: the number of trials that are launched together.
        params: the search space, which overrides replace.
    """

    def __init__(
        self,
        sampler: DictConfig,
        pruner: DictConfig | None,
        direction: str | ListConfig | None,
        n_trials: int,
        n_jobs: int,
        params: DictConfig | None,
    ) -> None:
        for name, number in (("n_trials", n_trials), ("n_jobs", n_jobs)):
            if type(number) is not int or number < 1:
                raise InputError(f"hydra.sweeper.{name} must be an integer of at least 1, not {number}")
        super().__init__(None, direction, None, STUDY, n_trials, n_jobs, 1.0, None, params)
        self.sampler_config = sampler
        self.pruner_config: dict[str, Any] = OmegaConf.to_container(pruner) if pruner else {}  # type: ignore[assignment]

    def sweep(self, arguments: list[str]) -> None:
        self._process_searchspace_config()
        try:
            parsed = create_params_from_overrides([*self._parse_sweeper_params_config(), *arguments])
        except ValueError as error:
            raise InputError(f"the search space is invalid: {error}") from error
        space, fixed, fixed_overrides = parsed
        if not space:
            raise InputError("hydra/sweeper=optuna has nothing to search: give an override several values")
        study = self.load_study(space)
        launch = functools.partial(self._launch, study, space, fixed, fixed_overrides)
        for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
            launch([Trial(study, frozen._trial_id)])  # It was cut off.
        while (remaining := self.n_trials - len(study.trials)) > 0:
            launch([study.ask() for _ in range(min(remaining, self.n_jobs))])

    def load_study(self, space: dict[str, Any]) -> optuna.Study:
        """Creates the study in the folder of the sweep, or loads it if the sweep is resumed.

        Raises:
            InputError: if a setting of the sweeper is invalid.
        """
        assert self.config is not None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        optimized = self.config.get("optimized_metric")
        names = list(optimized) if isinstance(optimized, ListConfig) else [optimized or self.config.get("monitor")]
        mode = self.config.get("mode") if names == [self.config.get("monitor")] else None
        directions = find_directions(self.direction, names, mode)
        if self.pruner_config and (len(names) > 1 or not str(names[0] or "val/loss").startswith(EACH_EPOCH)):
            raise InputError(
                "hydra/sweeper/pruner needs one optimized_metric that is logged each epoch, such as val/loss"
            )
        Path(self.sweep_dir).mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(Path(self.sweep_dir) / JOURNAL)))
        study = optuna.create_study(study_name=STUDY, storage=storage, directions=directions, load_if_exists=True)
        if [direction.name.lower() for direction in study.directions] != directions:
            raise InputError("sweep.resume: hydra.sweeper.direction differs from that of the study")
        try:
            study.sampler = self.build_sampler(space, len(study.trials))
        except Exception as error:  # Hydra wraps whatever a sampler raises.
            raise InputError(f"hydra/sweeper/sampler: {error.__cause__ or error}") from error
        study.set_user_attr("pruner", self.pruner_config)
        return study

    def build_sampler(self, space: dict[str, Any], trials: int) -> optuna.samplers.BaseSampler:
        """Builds the sampler. With the seed alone, a resumed one would draw the first values again."""
        config = OmegaConf.to_container(self.sampler_config)
        assert isinstance(config, dict)
        if str(config["_target_"]).endswith("CmaEsSampler") and not find_spec("cmaes"):
            raise ImportError("cmaes is not installed: pip install 'primer[sweeps]'")
        if config.get("seed") is not None:
            config["seed"] += trials
        allowed = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")
        sampler = instantiate(config, _execution_whitelist_=allowed)
        if isinstance(sampler, functools.partial):  # The grid.
            grid = {name: self._to_grid_sampler_choices(distribution) for name, distribution in space.items()}
            size = functools.reduce(lambda product, choices: product * len(choices), grid.values(), 1)
            self.n_trials = min(self.n_trials, size)
            sampler = sampler(grid)
        return sampler

    def _launch(
        self, study: optuna.Study, space: dict[str, Any], fixed: dict[str, Any], fixed_overrides: list[str],
        trials: Sequence[Trial],
    ) -> None:  # fmt: skip
        assert self.config is not None
        assert self.launcher is not None
        overrides = self._configure_trials(list(trials), space, fixed, fixed_overrides)
        metric = self.config.get("optimized_metric") or self.config.get("monitor")
        reports = isinstance(metric, str | None) and str(metric or "val/loss").startswith(EACH_EPOCH)
        jobs = [
            [*own, *(self.report_overrides(trial) if reports else [])]
            for own, trial in zip(overrides, trials, strict=True)
        ]
        self.launcher.launch(jobs, initial_job_idx=trials[0].number)
        for trial in trials:
            job = read_job(Path(self.sweep_dir), trial.number)
            state, values = TrialState.FAIL, None
            if job is not None and job.status == "pruned":
                state = TrialState.PRUNED
            elif job is not None and job.status == "done" and len(job.values) == len(study.directions):
                state, values = TrialState.COMPLETE, job.values
            try:
                study.tell(trial, values, state)
            except RuntimeError as error:  # The grid is complete. The trial has been told nevertheless.
                if "Study.stop" not in str(error):
                    raise

    def report_overrides(self, trial: Trial) -> list[str]:
        """Returns overrides that add the callback which reports to the study."""
        assert self.config is not None
        settings = {
            "_target_": "primer.callbacks.pruning.Pruning",
            "study": str(Path(self.sweep_dir) / JOURNAL),
            "trial": trial.number,
            "monitor": self.config.get("optimized_metric"),
            "mode": None,
        }
        return [f"+{INTERNAL}.{name}={override_value(value)}" for name, value in settings.items()]


def find_directions(configured: Any, names: Sequence[str | None], mode: str | None) -> list[Direction]:
    """Returns the direction of each objective.

    Args:
        configured: the direction in the config, or a list of them.
        names: the optimized metrics; None stands for the one that the model is selected by.
        mode: the mode in the config.

    Raises:
        InputError: if it is not configured and not known, or is known to be the other one.
    """
    if configured is not None:
        chosen = [str(one) for one in (configured if isinstance(configured, ListConfig | list) else [configured])]
        if set(chosen) - {"minimize", "maximize"} or len(chosen) != len(names):
            raise InputError(
                f"hydra.sweeper.direction must be minimize or maximize for each of {len(names)} optimized_metric, not "
                f"{', '.join(chosen)}"
            )
        for name, direction in zip(names, chosen, strict=True):
            metric = str(name or "loss").rpartition("/")[2]
            if metric in (HIGHER if direction == "minimize" else LOWER):
                better = "higher" if metric in HIGHER else "lower"
                raise InputError(f"hydra.sweeper.direction={direction}, but a {better} {name or 'val/loss'} is better")
        return cast("list[Direction]", chosen)
    if mode is not None and len(names) == 1:
        return ["minimize" if mode == "min" else "maximize"]
    directions: list[Direction] = []
    for name in names:
        metric = str(name or "loss").rpartition("/")[2]
        if metric not in (*LOWER, *HIGHER):
            raise InputError(f"whether a higher {name} is better is not known: set hydra.sweeper.direction")
        directions.append("minimize" if metric in LOWER else "maximize")
    return directions
