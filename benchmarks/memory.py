"""The peak memory of a process that trains an MLP for an epoch on images of MNIST's shape, compared with a process that
only imports Lightning, and with the size of the data."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile

IMPORTS = "import lightning, resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
OVERRIDES = ["trainer.max_epochs=1", "accelerator=cpu", "~callbacks.progress"]


def peak() -> float:
    """Returns the peak resident memory of this process so far, in MiB."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 2**20 if sys.platform == "darwin" else size / 2**10


def main() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    imports = int(done.stdout) / (2**20 if sys.platform == "darwin" else 2**10)

    from benchmarks.step import Images
    from primer.batch import Batch
    from primer.cli.composition import compose_resolved
    from primer.config.instantiate import instantiate
    from primer.regularization import Regularization
    from primer.run import building, training

    training.redirect_library_logs()
    data = Images(test_fraction=0.01, val_fraction=0.01).prepare()
    size = sum(part.nbytes for part in data.parts.values() if isinstance(part, Batch)) / 2**20
    after_reading = peak()
    with tempfile.TemporaryDirectory() as folder:
        config = compose_resolved("train", OVERRIDES, folder)
        regularization = instantiate(config["regularization"], Regularization)
        model = building.build_model(config, data, regularization)
        callbacks = building.build_callbacks(config, model, data, regularization)
        trainer = building.build_trainer(config, model, callbacks, building.build_loggers(config))
        trainer.fit(model, datamodule=data)
    print("memory: peak resident memory of a process, in MiB")
    print(f"  import lightning             {imports:7.0f}")
    print(f"  60,000 images read and split {after_reading:7.0f}, of which {size:.0f} are the data")
    print(f"  one epoch of training        {peak():7.0f}, including checkpoints")


if __name__ == "__main__":
    main()
