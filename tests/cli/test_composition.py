"""Composition of configs, explanations of failures, and the jobs of a sweep."""

from __future__ import annotations

from helpers.errors import refusal

from primer.cli.choices import groups
from primer.cli.composition import compose_checked, diagnose_overrides, expand_sweep, parse_override


def test_syntax_errors_are_explained() -> None:
    assert diagnose_overrides("train", ["=3"], ValueError("message of Hydra")).startswith("'=3' cannot be parsed")


def test_a_sweep_runs_all_combinations() -> None:
    lines = ["optimizer=adam,sgd", "seed=range(0,3)", "optimizer.lr=interval(0,1)", "hydra.verbose=true", "test=false"]
    jobs = list(expand_sweep([parse_override(line) for line in lines]))
    assert jobs == [[f"optimizer={o}", f"seed={s}", "test=false"] for o in ("adam", "sgd") for s in range(3)]
    assert list(expand_sweep([])) == [[]]


def test_a_glob_matches_the_files_of_the_group() -> None:
    assert list(expand_sweep([parse_override("optimizer=glob(*mw)")])) == [["optimizer=adamw"]]
    assert list(expand_sweep([parse_override("data=glob(*,exclude=_*)")])) == [
        [f"data={name}"] for name in groups()["data"]
    ]


def test_list_values_are_not_split_in_a_sweep() -> None:
    jobs = expand_sweep([parse_override("model.hidden_sizes=[8],[4,2]")])
    assert [compose_checked("train", job).model.hidden_sizes for job in jobs] == [[8], [4, 2]]


def test_diagnosis_falls_back_to_the_message_of_the_error() -> None:
    assert diagnose_overrides("train", ["optimizer=adam"], ValueError("two\nlines")) == "two lines"


def test_composing_leaves_no_global_state_in_hydra() -> None:
    from hydra.core.global_hydra import GlobalHydra

    compose_checked("train", [])
    refusal("model=mpl")
    assert not GlobalHydra.instance().is_initialized()
