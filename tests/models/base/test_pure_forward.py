"""``forward`` is a function of parameters, buffers and inputs: what torch.func and export build on."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch.func import functional_call

from primer.cli.choices import groups, target_of
from primer.cli.composition import compose_resolved
from primer.regularization import Regularization
from primer.run.training import build_data, build_model

ONE_OF_EACH = {target_of("model", name): name for name in reversed(groups()["model"])}


@pytest.mark.parametrize("name", ONE_OF_EACH.values())
def test_forward_is_a_function_of_parameters_buffers_and_inputs(name: str) -> None:
    large = ["model.hidden_size=64"] if name in ("alexnet", "vgg11") else []
    config = compose_resolved("train", [f"model={name}", "data.batch_size=4", *large], "unused")
    data = build_data(config)
    model = build_model(config, data, Regularization()).eval()
    batch = next(iter(data.test_dataloader()))
    inputs = (batch.inputs,) if batch.lengths is None else (batch.inputs, batch.lengths)
    other = {key: value + 0.02 if value.is_floating_point() else value for key, value in model.state_dict().items()}
    before = model(*inputs)
    found = functional_call(model, other, inputs)
    assert torch.equal(model(*inputs), before)
    assert found.shape != before.shape or not torch.allclose(found, before)
    changed = deepcopy(model)
    changed.load_state_dict(other)
    torch.testing.assert_close(found, changed(*inputs))
