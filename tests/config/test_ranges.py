"""Numbers out of range are rejected before torch is imported, with the setting and its range."""

from __future__ import annotations

import re
from typing import Any

import pytest
from helpers.errors import refusal
from omegaconf import OmegaConf

from primer.cli.choices import groups
from primer.cli.composition import compose_resolved
from primer.config.paths import CONFIGS
from primer.config.ranges import RANGES, check_ranges, find_range, numbers, parse_range
from primer.errors import InputError

OUT_OF_RANGE = [
    (["seed=-1"], "seed must be at least 0 and at most 4294967295, not -1"),
    (["seed=4294967296"], "seed must be at least 0 and at most 4294967295, not 4294967296"),
    (["data.split_seed=-1"], "data.split_seed must be at least 0 and at most 4294967295, not -1"),
    (["data=xor", "data.data_seed=-1"], "data.data_seed must be at least 0"),
    (["trainer.max_epochs=-2"], "trainer.max_epochs must be at least -1"),
    (["trainer.max_steps=-2"], "trainer.max_steps must be at least -1, not -2"),
    (["trainer.gradient_clip_val=-1"], "trainer.gradient_clip_val must be at least 0, not -1"),
    (["trainer.accumulate_grad_batches=0"], "trainer.accumulate_grad_batches must be at least 1, not 0"),
    (["trainer.check_val_every_n_epoch=0"], "trainer.check_val_every_n_epoch must be at least 1, not 0"),
    (["trainer.val_check_interval=0"], "trainer.val_check_interval must be at least 1 as an integer, not 0"),
    (["trainer.val_check_interval=1.5"], "must be more than 0 and at most 1 as a fraction, not 1.5"),
    (["trainer.limit_train_batches=-1"], "trainer.limit_train_batches must be at least 0 as an integer, not -1"),
    (["trainer.limit_val_batches=2.0"], "must be at least 0 and at most 1 as a fraction, not 2.0"),
    (["optimizer.lr=inf"], "optimizer.lr must be a finite number in 32 bits, not inf"),
    (["optimizer.lr=1e300"], "optimizer.lr must be a finite number in 32 bits, not 1e+300"),
    (["optimizer.lr=-0.1"], "optimizer.lr must be at least 0, not -0.1"),
    (["optimizer.betas=[0.9,1.0]"], "optimizer.betas must be at least 0 and less than 1, not 1.0"),
    (["scheduler=step", "scheduler.step_size=0"], "scheduler.step_size must be at least 1, not 0"),
    (["scheduler=cosine", "scheduler.T_max=0"], "scheduler.T_max must be at least 1, not 0"),
    (["regularization.l1=nan"], "regularization.l1 must be a finite number in 32 bits, not nan"),
    (["regularization.l2=inf"], "regularization.l2 must be a finite number in 32 bits, not inf"),
    (["regularization.l1=100000000000000000000"], "regularization.l1 must be at most 9223372036854775807 in magnitude"),
    (["model.hidden_sizes=[64,100000000000000000000]"], "model.hidden_sizes must be at most 9223372036854775807"),
    (["model.hidden_sizes=[10**20]"], "model.hidden_sizes must be a list, each an integer"),
    (["accelerator.num_nodes=0"], "accelerator.num_nodes must be at least 1"),
]


@pytest.mark.parametrize(("overrides", "expected"), OUT_OF_RANGE, ids=[" ".join(one) for one, _ in OUT_OF_RANGE])
def test_a_number_out_of_range_is_rejected(overrides: list[str], expected: str) -> None:
    assert expected in refusal(*overrides)


def test_values_of_a_sweeper_are_checked_when_a_job_starts() -> None:
    config = compose_resolved("train", [], "runs")
    check_ranges(config)
    with pytest.raises(InputError, match=r"trainer\.accumulate_grad_batches must be at least 1, not 0"):
        check_ranges(config | {"trainer": config["trainer"] | {"accumulate_grad_batches": 0}})


@pytest.mark.parametrize("group", ["trainer", "accelerator", "optimizer", "scheduler"])
def test_every_number_of_lightning_and_torch_has_a_range(group: str) -> None:
    own = {"accelerator.devices", "scheduler.warmup"}  # Checked elsewhere.
    for choice in groups()[group]:
        node: Any = OmegaConf.to_container(OmegaConf.load(CONFIGS / group / f"{choice}.yaml"))
        for setting, number in numbers(node, group):
            assert setting in own or find_range(setting, isinstance(number, float)), setting


def test_a_range_in_words() -> None:
    assert str(parse_range("[0, 1)")) == "at least 0 and less than 1"
    assert str(parse_range("(0, inf)")) == "more than 0"
    assert 1 not in parse_range("[0, 1)")
    assert 1 in parse_range("(0, 1]")
    assert 0 not in parse_range("(0, 1]")
    for interval in RANGES.values():
        for one in [interval] if isinstance(interval, str) else interval:
            assert re.match(r"(at least|more than) -?\d", str(parse_range(one)))
