"""Round trips of specs, and the output sizes of convolutions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primer.spec import (
    TYPES,
    Arms,
    Classes,
    Column,
    Context,
    Cooccurrence,
    Environment,
    FiniteEnvironment,
    Image,
    Input,
    Interactions,
    MaskedToken,
    NextToken,
    NoTarget,
    Sequence,
    Series,
    Spec,
    Tags,
    Target,
    Tokens,
    Values,
    Vector,
    Video,
    Waveform,
    convolved_size,
)

INPUTS = [
    Image(3, 4, 5),
    Image(1, 8, 8, (0.25,), (0.5,)),
    Image(3, 8, 8, maximum=16.0, native=(1, 4, 4)),
    Video(5, 1, 8, 8, (0.25,), (0.5,)),
    Image(1, 20, 32, (0.5,), (0.125,), recording=Waveform(8000, 256, 128, 20, 80000)),
    Vector(3),
    Vector(2, ("a", "b"), (0.0, 1.0), (1.0, 2.0)),
    Vector(3, columns=(Column("age", fill=3.5), Column("sex", ("", "f"), required=False, unseen="error"))),
    Series(7),
    Series(1, (0.5,), (2.0,)),
    Series(1, names=("sales",), window=7),
    Series(2, (0.5, 1.0), (1.0, 2.0), padded=True),
    Series(2, recording=Waveform(8000, 256, 128, 20, 80000, "mfcc", 2, True, 40.0, (0.5, 1.0), (2.0, 3.0))),
    Tokens(("<pad>", "<unk>", "word")),
    Tokens(("<pad>", "<unk>"), ("<pad>", "<unk>", "a"), "words", lowercase=True, max_length=9, word_length=5),
    Interactions(("<unseen>", "Ann"), ("<unseen>", "Jaws"), ("userId", "movieId")),
    Environment((4,), 2),
    Environment((3, 84, 84), 6),
    FiniteEnvironment(500, 6, ("↓",) * 6, (5, 5)),
    FiniteEnvironment(7, 2),
    Arms(10, "bernoulli"),
]
TARGETS = [
    Classes(("no", "yes")),
    Values(("price",)),
    Values(("x", "y"), (0.5, 1.5), (1.0, 2.0)),
    Tags(("NOUN", "VERB")),
    Sequence(("<pad>", "<unk>", "<s>", "</s>", "a")),
    Sequence(("a", "b"), start=0, end=1),
    Sequence(("a", "b"), unit="phoneme", separator=" "),
    NextToken(("<pad>", "<unk>", "a"), "note"),
    MaskedToken(("<pad>", "<unk>", "a", "<mask>"), 0.4),
    Context((0, 0, 7)),
    Cooccurrence(),
    NoTarget(),
]


def test_every_type_is_covered() -> None:
    assert {type(side) for side in INPUTS + TARGETS} == set(TYPES.values())


@pytest.mark.parametrize("source", INPUTS)
@pytest.mark.parametrize("target", TARGETS)
def test_a_spec_survives_a_round_trip_through_json(source: Input, target: Target) -> None:
    spec = Spec(source, target)
    plain = json.loads(json.dumps(spec.to_dict()))
    assert plain == spec.to_dict()
    restored = Spec.from_dict(plain)
    assert restored == spec
    assert hash(restored) == hash(spec)


def test_to_dict_returns_plain_types() -> None:
    columns = (Column("color", ("red", "blue")),)
    plain = {"name": "color", "categories": ["red", "blue"], "fill": 0.0, "required": True, "unseen": "ignore"}
    assert Spec(Vector(2, (), (0.5, 0.0), (2.0, 1.0), columns), Classes(("a", "b"))).to_dict() == {
        "input": {
            "type": "Vector",
            "features": 2,
            "names": [],
            "mean": [0.5, 0.0],
            "std": [2.0, 1.0],
            "columns": [plain],
            "offset": [],
        },
        "target": {"type": "Classes", "names": ["a", "b"], "positive": 1, "counts": []},
    }


@pytest.mark.parametrize("name", ["Volume", "Spec", "__import__", "os.system"])
@pytest.mark.parametrize("side", ["input", "target"])
def test_an_unknown_type_is_rejected(name: str, side: str) -> None:
    plain = Spec(Vector(2), NoTarget()).to_dict()
    plain[side] = {"type": name}
    with pytest.raises(ValueError, match=f"unknown {side} type '{name}'"):
        Spec.from_dict(plain)


def test_from_dict_does_not_change_its_argument() -> None:
    plain = Spec(Vector(2), NoTarget()).to_dict()
    Spec.from_dict(plain)
    assert plain["input"]["type"] == "Vector"


def test_sizes() -> None:
    assert Image(3, 4, 5).size == 60
    assert Vector(7).size == 7


def test_convolved_size_of_known_examples() -> None:
    assert convolved_size(39, kernel_size=5, stride=2) == 18
    assert convolved_size(32, kernel_size=5) == 28
    assert convolved_size(8, kernel_size=3, padding=1) == 8
    assert convolved_size(2, kernel_size=5) < 1


@given(
    size=st.integers(1, 40), kernel_size=st.integers(1, 7), stride=st.integers(1, 4), padding=st.integers(0, 3)
)  # fmt: skip
def test_convolved_size_counts_the_positions_of_the_kernel(
    size: int, kernel_size: int, stride: int, padding: int
) -> None:
    positions = [start for start in range(size + 2 * padding) if start + kernel_size <= size + 2 * padding]
    assert max(0, convolved_size(size, kernel_size, stride, padding)) == len(positions[::stride])
