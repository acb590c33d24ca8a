"""The help text: what to type, and the choices of each group."""

from __future__ import annotations

import textwrap

from primer.choices import groups

USAGE = {
    "train": """Primer trains, tests and records a model.

  python train.py                                    an MLP on real digits, in seconds
  python train.py model=lstm optimizer=adam          a group takes one of its choices
  python train.py optimizer.lr=0.01 trainer.max_epochs=5   a setting takes a value
  python train.py -m model=mlp,lenet seed=0,1,2      a sweep: every combination
  python train.py --cfg job                          all settings and their values, without a run
  python -m primer list                              which model fits which data
""",
    "evaluate": """Primer tests a trained model.

  python evaluate.py run=logs/train/runs/<time>      the best checkpoint of a run
  python evaluate.py ckpt=FILE part=val              a checkpoint, on its validation part
  python evaluate.py run=DIR beam_size=5             a model that writes sequences, decoded with another beam
""",
}
ORDER = ("model", "data", "optimizer", "scheduler", "objective", "regularization", "regularization/augmentation",
         "transfer", "accelerator", "trainer", "logger", "callbacks", "experiment", "debug")  # fmt: skip
EVALUATE = ("accelerator",)


def help_text(name: str, width: int = 100) -> str:
    """The help of a command.

    Args:
        name: ``train`` or ``evaluate``.
        width: in characters.
    """
    known = groups()
    lines = [USAGE[name], "Groups and their choices:"]
    for group in ORDER if name == "train" else EVALUATE:
        label = f"  {group}".ljust(18) + " "
        text = ", ".join(known.get(group, []))
        lines += textwrap.wrap(label + text, width, subsequent_indent=" " * 19, break_long_words=False)
    lines.append("\nHydra's own options: --hydra-help. Settings of one's own for every run: configs/local/default.yaml")
    return "\n".join(lines)
