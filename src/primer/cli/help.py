"""The help text: what to type, and the choices of each group."""

from __future__ import annotations

import shutil
import textwrap

from primer.cli.choices import groups

PURPOSE = {"train": "Primer trains, tests and records a model.", "evaluate": "Primer tests a trained model."}
EXAMPLES = {
    "train": {
        "python train.py": "an MLP on real digits, in seconds",
        "python train.py model=lstm optimizer=adam": "a group takes one of its choices",
        "python train.py optimizer.lr=0.01": "a setting takes a value",
        "python train.py -m model=mlp,lenet seed=0,1,2": "a sweep: every combination",
        "python train.py --cfg job": "all settings and their values, without a run",
        "python -m primer list": "which model fits which data",
    },
    "evaluate": {
        "python evaluate.py run=logs/train/runs/<time>": "the best checkpoint of a run",
        "python evaluate.py ckpt=FILE part=val": "a checkpoint, on its validation part",
        "python evaluate.py run=DIR beam_size=5": "a model that writes sequences, with another beam",
    },
}
FIRST = ("model", "data", "optimizer", "scheduler", "objective", "regularization", "regularization/augmentation",
         "transfer", "accelerator", "trainer", "logger", "callbacks", "experiment", "debug")  # fmt: skip
"""The groups of train.py in the order of a reader's interest; the others follow."""

EVALUATE = ("accelerator", "hydra", "paths")
END = "Hydra's own options: --hydra-help. Settings of one's own for every run: configs/local/default.yaml"


def help_text(name: str, width: int | None = None) -> str:
    """The help of a command.

    Args:
        name: ``train`` or ``evaluate``.
        width: in characters; by default that of the terminal, and no more than 100.
    """
    width = width or min(100, shutil.get_terminal_size((100, 40)).columns)
    column = max(map(len, EXAMPLES[name])) + 5
    lines = [PURPOSE[name], ""]
    for command, meaning in EXAMPLES[name].items():
        line = f"  {command}".ljust(column) + meaning
        lines += [line] if len(line) <= width else [*wrapped(f"  {command}", 6, width), *wrapped(meaning, 6, width, 6)]
    lines += ["", "Groups and their choices:"]
    known = {group: choices for group, choices in groups().items() if group != "local"}
    for group in dict.fromkeys([*FIRST, *known]) if name == "train" else EVALUATE:
        lines += wrapped(f"  {group}".ljust(18) + " " + ", ".join(known.get(group, [])), 19, width)
    return "\n".join([*lines, "", *wrapped(END, 0, width)])


def wrapped(text: str, indent: int, width: int, first: int = 0) -> list[str]:
    """The lines of a text; all but the first are indented, and the first too where ``first`` says so."""
    return textwrap.wrap(
        text, width, initial_indent=" " * first, subsequent_indent=" " * indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
