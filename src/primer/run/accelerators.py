"""Checks, before a run starts, that the requested devices and compilers are available."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from typing import Any

from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import StrategyRegistry

from primer.errors import InputError, suggest

NAMES = {"cuda": "NVIDIA or AMD GPU", "gpu": "GPU", "mps": "Apple GPU", "tpu": "TPU"}
PROCESSES = 8
"""The number of processes that may run on the CPU even if it has fewer cores."""


def check_accelerator(settings: dict[str, Any]) -> None:
    """Checks that the requested accelerator and number of devices are available.

    Args:
        settings: the ``accelerator`` group: ``accelerator``, ``devices``.

    Raises:
        InputError: if they are not, with an alternative.
    """
    name, devices = settings["accelerator"], settings["devices"]
    check_strategy(settings["strategy"])
    if devices == 0 or (isinstance(devices, int) and devices < -1):
        raise InputError(f"accelerator.devices must be at least 1, or -1 for all, not {devices}")
    if name == "cpu" or (name == "auto" and not any(device_count(kind) for kind in ("cuda", "mps"))):
        check_processes(devices)
    if name in ("auto", "cpu"):
        return
    if name == "tpu" and find_spec("torch_xla") is None:
        raise InputError(
            "accelerator=tpu requires torch_xla, which is not installed: try accelerator=auto or accelerator=cpu"
        )
    if name not in AcceleratorRegistry and name != "gpu":
        raise InputError(f"accelerator.accelerator={name} is unknown; valid: auto, cpu, gpu, cuda, mps, tpu")
    kinds = ("cuda", "mps") if name == "gpu" else (name,)
    available = max(device_count(kind) for kind in kinds)
    if not available:
        raise InputError(
            f"PyTorch does not find any {NAMES.get(name, name)} on this machine: try accelerator=auto or "
            "accelerator=cpu"
        )
    if isinstance(devices, int) and devices > available:
        raise InputError(f"accelerator.devices={devices}: only {available} {NAMES.get(name, name)} available")


def check_strategy(name: str) -> None:
    """Raises ``InputError`` if there is no strategy of this name."""
    if name != "auto" and name not in StrategyRegistry:
        raise InputError(f"accelerator.strategy={name}: {suggest(name, ['auto', *StrategyRegistry])}")


def check_processes(devices: Any) -> None:
    """Raises ``InputError`` unless ``devices`` is a number of processes that the CPU can run."""
    number = int(devices) if isinstance(devices, str) and devices.isdecimal() else devices
    most = max(PROCESSES, os.cpu_count() or 1)
    if number != "auto" and not (isinstance(number, int) and 1 <= number <= most):
        raise InputError(f"accelerator.devices={devices}: on the CPU, it is the number of processes, from 1 to {most}")


def check_compiler(settings: dict[str, Any]) -> None:
    """Checks that the C or C++ compiler that ``torch.compile`` calls is installed.

    Args:
        settings: the ``accelerator`` group.

    Raises:
        InputError: if it is not installed, with its name.
    """
    name = settings["accelerator"]
    if name in ("auto", "gpu", "cuda") and device_count("cuda"):  # Triton compiles the launchers of its kernels.
        commands = [os.environ["CC"]] if os.environ.get("CC") else ["gcc", "clang"]
    elif name == "cpu" or (name == "auto" and not device_count("mps")):
        commands = [os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")]
    else:
        return
    if not any(shutil.which(command.split()[0]) for command in commands):
        raise InputError(
            f"trainer.compile=true requires the compiler {' or '.join(commands)}, which is not installed: install it, "
            "or set trainer.compile=false"
        )


def device_count(kind: str) -> int:
    """Returns the number of available devices of a kind."""
    accelerator = AcceleratorRegistry[kind]["accelerator"]
    return accelerator.auto_device_count() if accelerator.is_available() else 0
