"""Random overrides and damaged files for ``benchmarks.robustness``."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from primer.config.paths import CONFIGS

NUMBERS = (
    "0", "-1", "1", "2", "3", "0.5", "-0.5", "0.999", "1.5", "1e20", "-1e20", "1e-20", "1e300", "100000000000000000000",
    "nan", "inf", "-inf", "65", "1000", "1000000", "2147483648", "4294967295", "1099511627776", "9223372036854775807",
)  # fmt: skip
"""Values for settings that are numbers or null."""

VALUES = (
    "10**20", "abc", "''", "null", "true", "false", "[]", "{}", "[1,2]", "[0,0]", "[-1]", "[nan,1]", "[abc]", "[null]",
    "[[]]", "[0.5,0.5]", "[1000000000]", "{a:1}", "{_target_:os.system}", "full", "auto", "none", "val/loss",
    "val/nothing", "${seed}", "${nothing}", "${oc.env:HOME}", "'a b'", "ü", "~", "'../..'", "/proc/nowhere/x",
    "/dev/null", "1:2", "a=b", "[", "'", "1_000", "0x10", "00:00:00:10", "???",
)  # fmt: skip
"""Values for any setting."""

BASES = (
    "data=digits", "data=digits model=lenet", "data=digits model=linear", "data=digits model=resnet20 model.width=4",
    "data=iris", "data=wine model=linear", "data=diabetes", "data=xor data.samples=100",
    "data=noisy_surface data.samples=100", "data=pos_tags model=lstm data.sentences=50",
    "data=opinions model=gru data.sentences=50", "data=dates model=seq2seq data.samples=100",
    "data=sunspots model=gru", "data=co2 model=rnn", "data=adding_problem model=lstm data.samples=50 data.length=20",
    "data=copy_memory model=gru data.samples=50 data.length=10", "data=csv data.path={csv} data.target=y",
    "data=text model=lstm data.path={text} data.sequence_length=8 data.batch_size=4 data.eval_streams=1",
)  # fmt: skip
"""Commands that run in about a second. ``{…}`` stands for a file."""

CHOICES = (
    "optimizer",
    "scheduler",
    "regularization",
    "objective",
    "regularization/augmentation",
    "trainer",
    "callbacks",
)
"""Groups that are varied."""

SKIPPED = ("hydra.", "paths.log_dir.", "paths.root_dir.", "paths.output_dir.", "task_name.")
"""Settings that would move the logs out of the folder of the trial."""

PROCESSES = ("accelerator.devices", "accelerator.num_nodes")
"""Settings that start processes: only with values that are rejected, or 1."""


COUNTS = ("data.samples", "data.sentences")
"""Settings of data that Python generates one by one, which takes long, as the user asked for."""


def random_overrides(generator: random.Random, folder: Path) -> tuple[str, list[str]]:
    """Returns the script and the overrides of a random command: a base, some other choices, and some odd values."""
    base = generator.choice(BASES)
    if "{" in base:
        name, write = ("csv", write_table) if "{csv}" in base else ("text", write_text)
        (folder / name).write_text(write(generator))
        base = base.replace(f"{{{name}}}", str(folder / name))
    chosen = [f"{group}={generator.choice(choices(group))}" for group in generator.sample(CHOICES, 2)]
    overrides = base.split() + chosen[: generator.choice((0, 1, 1, 2))]
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        source = generator.choice([base, *(one for one in overrides if one in chosen)])
        key, current = generator.choice(settings(source))
        number = (isinstance(current, int | float) and not isinstance(current, bool)) or current is None
        value = generator.choice(NUMBERS if number and generator.random() < 0.8 else (*VALUES, *NUMBERS))
        if key in PROCESSES and value in ("2", "3", "65", "1000", "[1,2]", "[0,0]"):
            continue
        if key in COUNTS and len(value) > 6:
            continue
        if generator.random() < 0.03:
            key = key.replace(generator.choice(key), generator.choice("abc._/ "), 1)
        if isinstance(current, dict) and generator.random() < 0.5:
            overrides.append(f"~{key}")
        else:
            overrides.append(f"{generator.choice([''] * 20 + ['+', '++', '~'])}{key}={value}")
    return "train.py", overrides


@cache
def choices(group: str) -> list[str]:
    return sorted(file.stem for file in (CONFIGS / group).glob("*.yaml"))


@cache
def settings(overrides: str) -> list[tuple[str, Any]]:
    """Returns the dotted paths of the settings and nodes of a command, with their values; of a single choice, only
    those of its group, if it has any."""
    from omegaconf import OmegaConf

    from primer.cli.composition import compose_raw

    try:
        config: Any = compose_raw("train", overrides.split())
    except Exception:  # The choice does not compose with the default data.
        config = compose_raw("train", [])
    every = [
        (path, value) for path, value in walk(OmegaConf.to_container(config)) if not f"{path}.".startswith(SKIPPED)
    ]
    group = overrides.split("=")[0].replace("/", ".")
    return [one for one in every if one[0].startswith(f"{group}.") and group != "data"] or every


def walk(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the path and the value of every setting, and of every node."""
    for key, value in node.items():
        yield f"{prefix}{key}", value
        if isinstance(value, dict):
            yield from walk(value, f"{prefix}{key}.")


# Damaged files.


def write_table(generator: random.Random) -> str:
    rows = [f"{generator.random():.3f},{generator.choice('abc')},{generator.randrange(2)}" for _ in range(60)]
    return "\n".join(["x,kind,y", *rows]) + "\n"


def write_text(generator: random.Random) -> str:
    return "".join(generator.choice(("the cat sat\n", "on a mat ", "and then, ")) for _ in range(300))


def write_series(generator: random.Random) -> str:
    return "t,v\n" + "".join(f"{1900 + k},{generator.random():.3f}\n" for k in range(120))


def write_conllu(generator: random.Random) -> str:
    line = "{0}\tw{1}\t_\t{2}\t_\t_\t_\t_\t_\t_\n"
    tags = generator.choices(("NOUN", "VERB"), k=4)
    words = "".join(line.format(k + 1, generator.randrange(20), tag) for k, tag in enumerate(tags))
    return "".join(f"{words}\n" for _ in range(40))


def write_bio(generator: random.Random) -> str:
    return "".join("EU B-ORG\nrejects O\nGerman B-MISC\n\n" for _ in range(40))


def write_pairs(generator: random.Random) -> str:
    return "".join(f"w{generator.randrange(90)}\t{k}\n" for k in range(60))


def write_labeled(generator: random.Random) -> str:
    return "text,label\n" + "".join(
        f"a {generator.choice(('good', 'bad'))} film {k},{'pn'[k % 2]}\n" for k in range(60)
    )


def write_jsonl(generator: random.Random) -> str:
    return "".join(json.dumps({"text": f"a film {k}", "label": "pn"[k % 2]}) + "\n" for k in range(60))


def write_music(generator: random.Random) -> str:
    pieces = [[[60 + generator.randrange(9)] for _ in range(40)] for _ in range(6)]
    return json.dumps({"voices": ["a"], "rest": -1, "train": pieces[:4], "dev": pieces[4:5], "test": pieces[5:]})


TEXT_FILES: dict[str, tuple[Callable[[random.Random], str], str]] = {
    "table.csv": (write_table, "data=csv data.path={} data.target=y"),
    "series.csv": (write_series, "data=series model=gru data.path={} data.target=v data.time=t data.window=6"),
    "text.txt": (
        write_text,
        "data=text model=lstm data.path={} data.sequence_length=8 data.batch_size=2 data.eval_streams=1",
    ),
    "words.conllu": (write_conllu, "data=conllu model=lstm data.train={} data.dev=null data.test=null"),
    "words.bio": (write_bio, "data=bio model=lstm data.train={}"),
    "pairs.tsv": (write_pairs, "data=pairs model=seq2seq data.path={}"),
    "labeled.csv": (write_labeled, "data=text_classification model=gru data.train={}"),
    "labeled.jsonl": (write_jsonl, "data=text_classification model=gru data.train={}"),
    "music.json": (write_music, "data=music model=lstm data.path={} data.sequence_length=4 data.batch_size=2"),
}  # fmt: skip

PIECES = (
    "\0", "\n", "\n\n", "\r", '"', "'", ",", ";", "\t", "nan", "inf", "1e400", "-", "", " ", "\ufeff", "é", "\ud7ff",
    "null", "[]", "{}", "[", "}", ":", "#", "None", "99999999999999999999", "1,5", "<pad>", "<unk>", "\u2028",
)  # fmt: skip
"""What is inserted into text files."""


def damaged_file(generator: random.Random, folder: Path, runs: dict[str, Path]) -> tuple[str, list[str]]:
    """Writes a file of a random kind, with random damage. Returns the script and the overrides that read it."""
    kind = generator.choice((*TEXT_FILES, "images", "images", "yaml", "yaml", *(["checkpoint"] * 6)))
    if kind == "images":
        return "train.py", damaged_images(generator, folder)
    if kind == "yaml":
        return "train.py", damaged_config(generator, folder)
    if kind == "checkpoint":
        return damaged_checkpoint(generator, folder, runs)
    write, overrides = TEXT_FILES[kind]
    file = folder / kind
    file.write_bytes(damage_text(generator, write(generator).encode()))
    return "train.py", overrides.format(file).split()


def damage_text(generator: random.Random, content: bytes) -> bytes:
    """Damages bytes that are text: pieces inserted, or as ``damage``."""
    for _ in range(generator.choice((1, 1, 2, 4))):
        if generator.random() < 0.6:
            at, length = generator.randrange(len(content) + 1), generator.choice((0, 0, 1, 5))
            piece = generator.choice(PIECES).encode()
            content = content[:at] + piece + content[at + length :]
        else:
            content = damage(generator, content)
    return content


def damage(generator: random.Random, content: bytes) -> bytes:
    """Truncates bytes, flips, drops or repeats some, or replaces some with noise."""
    start = generator.randrange(len(content) + 1)
    stop = min(len(content), start + generator.choice((1, 1, 4, 64, 1000)))
    return {
        "truncate": content[:start],
        "empty": b"",
        "flip": content[:start]
        + bytes(byte ^ 1 << generator.randrange(8) for byte in content[start:stop])
        + content[stop:],
        "drop": content[:start] + content[stop:],
        "repeat": content[:stop] + content[start:],
        "noise": content[:start] + generator.randbytes(stop - start) + content[stop:],
    }[generator.choice(("truncate", "flip", "flip", "drop", "repeat", "noise", "noise", "empty"))]


def damaged_images(generator: random.Random, folder: Path) -> list[str]:
    from PIL import Image

    for name in ("cat", "dog"):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(6):
            suffix = generator.choice(("png", "jpg", "bmp", "gif"))
            image = Image.effect_noise((8, 8), generator.randrange(10, 90)).convert("RGB")
            image.save(folder / "images" / name / f"{number}.{suffix}")
    files = sorted((folder / "images").rglob("*.*"))
    for file in generator.sample(files, generator.choice((1, 1, 3))):
        file.write_bytes(damage(generator, file.read_bytes()))
    corrupt = generator.choice(("error", "skip"))
    settings = (f"data.path={folder / 'images'}", "data.size=8", "data.workers=0", f"data.corrupt={corrupt}")
    return ["data=image_folder", "model=linear", *settings]


def damaged_config(generator: random.Random, folder: Path) -> list[str]:
    """Writes a damaged copy of a config as an experiment."""
    group = generator.choice(("optimizer", "scheduler", "regularization", "trainer", "model", "data", "objective"))
    file = generator.choice(sorted((CONFIGS / group).glob("[a-z]*.yaml")))
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith(("#", "defaults", "  -"))]
    if lines and generator.random() < 0.7:
        number = generator.randrange(len(lines))
        lines[number] = f"{lines[number].split(':')[0]}: {generator.choice(VALUES)}"
    text = "# @package _global_\n" + f"{group}:\n" + "".join(f"  {line}\n" for line in lines)
    content = text.encode() if generator.random() < 0.5 else damage_text(generator, text.encode())
    (folder / "experiment").mkdir()
    (folder / "experiment" / "damaged.yaml").write_bytes(content)
    return [f"--config-dir={folder}", "experiment=damaged"]


def write_runs(folder: Path, run_command: Callable[..., tuple[int, str, str]]) -> dict[str, Path]:
    """Trains small models. Returns their checkpoints, by the overrides that trained them."""
    runs = {}
    for number, overrides in enumerate(("data=iris", "data=pos_tags model=lstm data.sentences=50 model.hidden_size=4")):
        status, out, errors = run_command(
            "train.py",
            *overrides.split(),
            "accelerator=cpu",
            "trainer.max_epochs=2",
            f"hydra.run.dir={folder}/{number}",
        )
        assert status == 0, out + errors
        runs[overrides] = folder / str(number) / "checkpoints" / "last.ckpt"
    return runs


def damaged_checkpoint(generator: random.Random, folder: Path, runs: dict[str, Path]) -> tuple[str, list[str]]:
    import torch

    overrides = generator.choice(sorted(runs))
    file = folder / "damaged.ckpt"
    if generator.random() < 0.4:
        file.write_bytes(damage(generator, runs[overrides].read_bytes()))
    else:
        content = torch.load(runs[overrides], weights_only=True)
        replace_entries(generator, content)
        torch.save(content, file)
    use = generator.choice(("ckpt", "resume", "weights"))
    if use == "ckpt":
        return "evaluate.py", [f"ckpt={file}"]
    return "train.py", [*overrides.split(), f"{use}={file}", "trainer.max_epochs=3"]


def replace_entries(generator: random.Random, content: dict[str, Any]) -> None:
    """Replaces or deletes random entries of nested containers."""
    values = (
        None,
        0,
        -1,
        1.5,
        float("nan"),
        "abc",
        "",
        [],
        {},
        [1],
        {"a": 1},
        True,
        10**20,
        "${oc.env:HOME}",
        "os.system",
    )
    for _ in range(generator.choice((1, 1, 2, 5))):
        node: Any = content
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = generator.choice(keys)
            deeper = isinstance(node[key], dict | list) and generator.random() < 0.8
            if deeper:
                node = node[key]
            elif generator.random() < 0.3:
                del node[key]
                break
            else:
                node[key] = generator.choice(values)
                break
