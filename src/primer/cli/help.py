"""The help text: example commands, and the choices of each config group."""

from __future__ import annotations

import shutil
import textwrap

from primer.cli.choices import groups

PURPOSE = {
    "train": "Train a model, test it and record the run.",
    "evaluate": "Evaluate a trained model.",
    "predict": "Predict with a trained model.",
}
EXAMPLES = {
    "train": {
        "python train.py": "train an MLP on real digits, in seconds",
        "python train.py model=lstm optimizer=adam": "select a choice of a group",
        "python train.py optimizer.lr=0.01": "set a value",
        "python train.py -m model=mlp,lenet seed=0,1,2": "run a sweep over every combination",
        "python train.py --cfg job": "print all settings without running",
        "python -m primer list": "list which models accept which data",
    },
    "evaluate": {
        "python evaluate.py run=logs/train/runs/<time>": "evaluate the best checkpoint of a run",
        "python evaluate.py ckpt=FILE part=val": "evaluate a checkpoint on the validation part",
        "python evaluate.py run=DIR beam_size=5": "decode sequences with another beam size",
    },
    "predict": {
        "python predict.py run=DIR input=new.csv output=out.csv": "predict for each row of a table",
        "python predict.py run=DIR input=FOLDER output=out.parquet": "predict for each image of a folder",
        "python predict.py run=DIR input=texts.txt output=out.jsonl": "predict for each line of a text file",
    },
}
GROUP_ORDER = ("model", "data", "optimizer", "scheduler", "objective", "regularization", "regularization/augmentation",
         "transfer", "accelerator", "trainer", "logger", "callbacks", "experiment", "debug")  # fmt: skip
"""The order in which the help of train.py shows groups; all others follow."""

EVALUATE_GROUPS = ("accelerator",)
FOOTER = "Options of Hydra: --hydra-help. Your own settings for every run: configs/local/default.yaml"


def help_text(name: str, width: int | None = None) -> str:
    """Returns the help text of a command.

    Args:
        name: ``train``, ``evaluate`` or ``predict``.
        width: the line width in characters; defaults to the terminal width, at most 100.
    """
    width = width or min(100, shutil.get_terminal_size((100, 40)).columns)
    column = max(map(len, EXAMPLES[name])) + 5
    lines = [PURPOSE[name], ""]
    for command, meaning in EXAMPLES[name].items():
        line = f"  {command}".ljust(column) + meaning
        lines += [line] if len(line) <= width else [*wrap(f"  {command}", 6, width), *wrap(meaning, 6, width, 6)]
    lines += ["", "Groups and their choices:"]
    known = {group: choices for group, choices in groups().items() if group not in ("local", "hydra", "paths")}
    for group in dict.fromkeys([*GROUP_ORDER, *known]) if name == "train" else EVALUATE_GROUPS:
        lines += wrap(f"  {group}".ljust(18) + " " + ", ".join(known.get(group, [])), 19, width)
    return "\n".join([*lines, "", *wrap(FOOTER, 0, width)])


def wrap(text: str, indent: int, width: int, first: int = 0) -> list[str]:
    """Wraps a text to lines. The first line is indented by ``first`` spaces, all others by ``indent``."""
    return textwrap.wrap(
        text, width, initial_indent=" " * first, subsequent_indent=" " * indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
