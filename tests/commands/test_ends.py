"""A run that a limit ends says so in one line."""

from __future__ import annotations

import pytest

TINY = ("data=iris", "test=false", "~callbacks.pictures")


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ("regularization.early_stopping.patience=2", "regularization.early_stopping.min_delta=9"),
            "stopped early after epoch 3, step 21: val/loss did not improve for 2 epochs",
        ),
        (("trainer.max_steps=10",), "stopped after epoch 2, step 10: trainer.max_steps=10"),
        (("trainer.max_time='00:00:00:01'", "trainer.max_epochs=100000"), ": trainer.max_time is over"),
        (
            ("trainer.check_val_every_n_epoch=5", "trainer.max_epochs=2"),
            "note: val/loss was never logged, so no best checkpoint was saved, and the final model is tested; "
            "validation runs every 5 epochs (trainer.check_val_every_n_epoch)",
        ),
        (("trainer.max_epochs=2",), None),
        (("trainer.max_epochs=2", "trainer.max_steps=14"), None),
    ],
    ids=str,
)
def test_the_end_of_a_run_is_explained(run_in_process, overrides, line) -> None:
    result = run_in_process("train.py", *TINY, *overrides)
    assert result.status == 0, result.err
    lines = [one for one in result.out.splitlines() if one.startswith(("stopped", "note:"))]
    assert len(lines) == (line is not None)
    assert not lines or lines[0].endswith(line)
