"""Whether the machine has what a run asks for, said before any work."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any

from lightning.pytorch.accelerators import AcceleratorRegistry

from primer.errors import InputError

NAMES = {"cuda": "NVIDIA or AMD GPU", "gpu": "GPU", "mps": "Apple GPU", "tpu": "TPU"}


def check_accelerator(settings: dict[str, Any]) -> None:
    """Refuses an accelerator that is not there, and more devices than there are.

    Args:
        settings: the ``accelerator`` group: ``accelerator``, ``devices``.

    Raises:
        InputError: with what would work instead.
    """
    name, devices = settings["accelerator"], settings["devices"]
    if name in ("auto", "cpu"):
        return
    if name not in AcceleratorRegistry and name != "gpu":
        raise InputError(f"accelerator.accelerator={name} is unknown: auto, cpu, gpu, cuda, mps or tpu")
    kinds = ("cuda", "mps") if name == "gpu" else (name,)
    there = max(count(kind) for kind in kinds)
    if not there:
        raise InputError(
            f"this machine has no {NAMES.get(name, name)} that PyTorch can use: try accelerator=auto or accelerator=cpu"
        )
    if isinstance(devices, int) and devices > there:
        raise InputError(f"accelerator.devices={devices}, but this machine has {there} {NAMES.get(name, name)}")


def check_compiler(settings: dict[str, Any]) -> None:
    """Refuses ``trainer.compile`` where the compiler that ``torch.compile`` calls is not there.

    Args:
        settings: the ``accelerator`` group.

    Raises:
        InputError: with what it looks for.
    """
    name = settings["accelerator"]
    if name in ("auto", "gpu", "cuda") and count("cuda"):  # Triton compiles what starts its kernels.
        commands = [os.environ["CC"]] if os.environ.get("CC") else ["gcc", "clang"]
    elif name == "cpu" or (name == "auto" and not count("mps")):
        commands = [os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")]
    else:
        return
    if not any(shutil.which(command.split()[0]) for command in commands):
        raise InputError(
            f"trainer.compile=true needs the compiler {' or '.join(commands)}, which this machine has not: install it, "
            "or leave trainer.compile=false"
        )


def count(kind: str) -> int:
    """How many devices of a kind this machine has."""
    accelerator = AcceleratorRegistry[kind]["accelerator"]
    return accelerator.auto_device_count() if accelerator.is_available() else 0
