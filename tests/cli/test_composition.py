"""What a command line composes, and the jobs of a sweep."""

from __future__ import annotations

from helpers.errors import refusal

from primer.cli.choices import groups
from primer.cli.composition import compose_checked, diagnose_overrides, jobs, parse


def test_what_cannot_be_read_is_explained() -> None:
    assert diagnose_overrides("train", ["=3"], ValueError("what Hydra said")).startswith("'=3' cannot be read")


def test_jobs_are_all_combinations() -> None:
    lines = ["optimizer=adam,sgd", "seed=range(0,3)", "optimizer.lr=interval(0,1)", "hydra.verbose=true", "test=false"]
    made = list(jobs([parse(line) for line in lines]))
    assert made == [[f"optimizer={o}", f"seed={s}", "test=false"] for o in ("adam", "sgd") for s in range(3)]
    assert list(jobs([])) == [[]]


def test_a_glob_is_over_the_files_of_the_group() -> None:
    assert list(jobs([parse("optimizer=glob(*mw)")])) == [["optimizer=adamw"]]
    assert list(jobs([parse("data=glob(*,exclude=_*)")])) == [[f"data={name}"] for name in groups()["data"]]


def test_values_that_are_lists_stay_whole_in_a_sweep() -> None:
    made = [compose_checked("train", job).model.hidden_sizes for job in jobs([parse("model.hidden_sizes=[8],[4,2]")])]
    assert made == [[8], [4, 2]]


def test_explain_falls_back_on_the_words_of_the_library() -> None:
    assert diagnose_overrides("train", ["optimizer=adam"], ValueError("two\nlines")) == "two lines"


def test_nothing_is_left_in_hydra() -> None:
    from hydra.core.global_hydra import GlobalHydra

    compose_checked("train", [])
    refusal("model=mpl")
    assert not GlobalHydra.instance().is_initialized()
