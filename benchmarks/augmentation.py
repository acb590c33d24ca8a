"""The time to augment a batch, compared with torchvision and kornia.

torchvision's v2 transforms run sample by sample, as they must for each sample to get its own random parameters. kornia,
if installed, runs on batches of floats; kornia 0.9.0 took 1.1 times as long (rotate and scale), 4 times (flip and crop)
and up to 28 times (color jitter) on two CPU cores, so Primer does not depend on it.

The libraries alternate batch by batch, and ratios are computed per round, so that drifts in machine speed cancel out.
All use one thread: single images are too small for several, and for batches, several threads would compete with other
processes.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torchvision.transforms import v2

from primer.batch import Batch
from primer.regularization import Augmentation, ColorJitter, Cutmix, Cutout, Flip, Mixup, Rotate, Shift
from primer.spec import Classes, Image, Spec

SHAPE = (256, 3, 32, 32)
ROUNDS, WARM_UP = 9, 2
CLASSES = 10
SPEC = Spec(Image(*SHAPE[1:], (0.5,) * 3, (0.25,) * 3), Classes(tuple("0123456789")))
JITTER = (0.4, 0.4, 0.4, 0.05)

OURS: dict[str, list[Augmentation]] = {
    "flip and crop": [Flip(), Shift(4)],
    "rotate and scale": [Rotate(15, (0.9, 1.1))],
    "color jitter": [ColorJitter(*JITTER)],
    "cutout": [Cutout(0.5, (0.02, 0.33), (0.3, 3.3))],
    "mixup": [Mixup(0.2)],
    "cutmix": [Cutmix(1.0, 1.0)],
}


def torchvision(name: str) -> Callable[[Tensor, Tensor], Any]:
    """Returns the equivalent from torchvision, where mixup and cutmix draw only one mixing coefficient per batch."""
    if name in ("mixup", "cutmix"):
        mix = v2.MixUp(alpha=0.2, num_classes=CLASSES) if name == "mixup" else v2.CutMix(num_classes=CLASSES)
        return lambda images, targets: mix(images.float() / 255, targets)
    steps = {
        "flip and crop": [v2.RandomHorizontalFlip(), v2.RandomCrop(SHAPE[2:], padding=4)],
        "rotate and scale": [v2.RandomAffine((-15, 15), scale=(0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR)],
        "color jitter": [v2.ColorJitter(*JITTER)],
        "cutout": [v2.RandomErasing(0.5, (0.02, 0.33), (0.3, 3.3))],
    }[name]
    transform = v2.Compose(steps)
    return lambda images, targets: torch.stack([transform(image) for image in images])


def kornia(name: str) -> Callable[[Tensor, Tensor], Any]:
    """Returns the equivalent from kornia, on floats."""
    import kornia.augmentation as k  # pyright: ignore[reportMissingImports]

    steps = {
        "flip and crop": lambda: [k.RandomHorizontalFlip(), k.RandomCrop(SHAPE[2:], padding=4)],
        "rotate and scale": lambda: [k.RandomAffine(15.0, scale=(0.9, 1.1), p=1.0)],
        "color jitter": lambda: [k.ColorJitter(*JITTER, p=1.0)],
        "cutout": lambda: [k.RandomErasing((0.02, 0.33), (0.3, 3.3), p=0.5)],
        "mixup": lambda: [k.RandomMixUpV2(p=1.0, data_keys=["input", "class"])],
        "cutmix": lambda: [k.RandomCutMixV2(p=1.0, data_keys=["input", "class"], use_correct_lambda=True)],
    }[name]()
    if name in ("mixup", "cutmix"):
        return steps[0]

    def run(images: Tensor, targets: Tensor) -> Tensor:
        for step in steps:
            images = step(images)
        return images

    return run


def ours(name: str, generator: Generator) -> Callable[[Tensor, Tensor], Any]:
    """Returns Primer's augmentation."""

    def run(images: Tensor, targets: Tensor) -> Batch:
        batch = Batch(images, targets)
        for step in OURS[name]:
            batch = step(batch, generator, SPEC)
        return batch

    return run


def measure(name: str) -> dict[str, list[float]]:
    """Returns the seconds per batch in each round, for every installed library."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, SHAPE, dtype=torch.uint8, generator=generator)
    floats, targets = images.float() / 255, torch.randint(0, CLASSES, SHAPE[:1], generator=generator)
    libraries = {"ours": (ours(name, generator), images), "torchvision": (torchvision(name), images)}
    if importlib.util.find_spec("kornia"):
        libraries["kornia"] = (kornia(name), floats)
    times: dict[str, list[float]] = {library: [] for library in libraries}
    for number in range(WARM_UP + ROUNDS):
        for library, (function, inputs) in libraries.items():
            start = time.perf_counter()
            function(inputs, targets)
            if number >= WARM_UP:
                times[library].append(time.perf_counter() - start)
    return times


def main() -> None:
    shape = "x".join(map(str, SHAPE))
    torch.set_num_threads(1)
    print(f"augmentation: milliseconds per batch of {shape} bytes on one thread, and the slowdown of other libraries")
    for name in OURS:
        times = measure(name)
        line = f"  {name:17} {statistics.median(times['ours']) * 1e3:6.2f} ours"
        for library in list(times)[1:]:
            ratios = [theirs / mine for theirs, mine in zip(times[library], times["ours"], strict=True)]
            line += (
                f", {statistics.median(times[library]) * 1e3:7.2f} {library} "
                f"({statistics.median(ratios):.1f} times, {min(ratios):.1f} to {max(ratios):.1f})"
            )
        print(line)


if __name__ == "__main__":
    main()
