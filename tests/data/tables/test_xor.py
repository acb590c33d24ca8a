"""Logic gates: points, noise and truth tables."""

import pytest
import torch

from primer.data.tables.xor import XOR
from primer.errors import InputError
from primer.spec import Classes, Vector

TRUTH = {"xor": [0, 1, 1, 0], "and": [0, 0, 0, 1], "or": [0, 1, 1, 1]}


@pytest.mark.parametrize("gate", TRUTH)
def test_gates_match_their_truth_tables(gate):
    data = XOR(samples=40, noise=0, gate=gate).prepare()
    for part in data.parts.values():
        rows = (2 * part.inputs[:, 0] + part.inputs[:, 1]).long()
        assert part.targets.tolist() == [TRUTH[gate][k] for k in rows]
    everything = torch.cat([part.inputs for part in data.parts.values()])
    points, counts = everything.unique(dim=0, return_counts=True)
    assert points.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert counts.tolist() == [10, 10, 10, 10]


def test_noise_has_the_given_standard_deviation_and_does_not_change_classes():
    data = XOR(samples=4000, noise=0.1).prepare()
    everything = torch.cat([part.inputs for part in data.parts.values()])
    targets = torch.cat([part.targets for part in data.parts.values()])
    bits = everything.round()
    assert (everything - bits).std().item() == pytest.approx(0.1, rel=0.05)
    assert targets.equal((bits[:, 0] != bits[:, 1]).long())
    assert len(everything.unique(dim=0)) == 4000


def test_points_depend_only_on_data_seed():
    first = XOR(samples=40).prepare().parts["train"].inputs
    torch.manual_seed(7)
    assert XOR(samples=40).prepare().parts["train"].inputs.equal(first)
    assert not XOR(samples=40, data_seed=1).prepare().parts["train"].inputs.equal(first)


def test_spec_and_parts():
    data = XOR().prepare()
    assert isinstance(data.spec.input, Vector)
    assert data.spec.input.features == 2
    assert data.spec.target == Classes(("0", "1"))
    assert data.spec.input.mean == pytest.approx(data.parts["train"].inputs.mean(0).tolist(), abs=1e-6)
    assert [data.parts[part].size for part in ("train", "val", "test")] == [700, 100, 200]
    assert data.parts["test"].targets.float().mean() == 0.5


@pytest.mark.parametrize(
    ("settings", "message"), [({"samples": 3}, "4"), ({"noise": -0.1}, "-0.1"), ({"gate": "nand"}, "xor, and, or")]
)
def test_invalid_settings_are_rejected(settings, message):
    with pytest.raises(InputError, match=message):
        XOR(**settings)
