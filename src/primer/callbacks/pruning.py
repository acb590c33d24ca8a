"""Reports a metric to the study of a sweep after each epoch, and ends the run if the study prunes it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning import Callback, LightningModule, Trainer

from primer.errors import InputError, PrunedError

if TYPE_CHECKING:
    import optuna


class Pruning(Callback):
    """Connects a run to a trial of an Optuna study, from whatever process the run is in. The sweeper adds it.

    Args:
        study: the journal file of the study.
        trial: the number of the trial. A trial that has ended, as when its run is resumed on its own, is left alone.
        monitor: the metric to report.
        mode: whether a lower (``min``) or a higher (``max``) value is better.

    Raises:
        InputError: if the study optimizes in the other direction.
    """

    def __init__(self, study: str, trial: int, monitor: str, mode: str | None = None) -> None:
        self.file, self.number, self.monitor, self.mode = Path(study), trial, monitor, mode
        self.trial: optuna.trial.Trial | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero or not self.file.is_file():
            return
        study = load_study(self.file)
        direction = study.direction.name.lower()
        if self.mode is not None and direction != {"min": "minimize", "max": "maximize"}[self.mode]:
            better = "higher" if self.mode == "max" else "lower"
            raise InputError(f"hydra.sweeper.direction={direction}, but a {better} {self.monitor} is better")
        self.trial = find_running_trial(study, self.number)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if epoch % (trainer.check_val_every_n_epoch or 1) or self.monitor not in trainer.callback_metrics:
            return
        value = trainer.callback_metrics[self.monitor].item()
        prune = False
        if self.trial is not None and math.isfinite(value):
            self.trial.report(value, epoch)
            prune = epoch != trainer.max_epochs and self.trial.should_prune()
        if trainer.strategy.broadcast(prune):
            raise PrunedError(f"{self.monitor} is {value:.4g} after epoch {epoch}, worse than other trials", value)


def load_study(file: Path) -> optuna.Study:
    """Loads the study in a journal file, with the pruner that it names.

    Raises:
        InputError: if the pruner is not one of Optuna's.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(file)))
    (name,) = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler())
    settings: dict[str, Any] = dict(study.user_attrs.get("pruner") or {})
    kind = str(settings.pop("_target_", "NopPruner")).removeprefix("optuna.pruners.")
    if kind not in optuna.pruners.__all__:
        raise InputError(f"hydra.sweeper.pruner: there is no pruner {kind}")
    try:
        study.pruner = getattr(optuna.pruners, kind)(**settings)
    except (TypeError, ValueError) as error:
        raise InputError(f"hydra.sweeper.pruner: {error}") from error
    return study


def find_running_trial(study: optuna.Study, number: int) -> optuna.trial.Trial | None:
    """Returns a trial of a study by its number; None if it has ended."""
    from optuna.trial import Trial, TrialState

    frozen = next((trial for trial in study.get_trials(deepcopy=False) if trial.number == number), None)
    return Trial(study, frozen._trial_id) if frozen and frozen.state == TrialState.RUNNING else None
