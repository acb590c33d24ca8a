"""``forward`` depends only on parameters, buffers and inputs, as torch.func and torch.export require."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch.func import functional_call

from primer.cli.choices import groups, target_of
from primer.cli.composition import compose_resolved
from primer.config.instantiate import import_target
from primer.models.base import GradientFree, SinglePass
from primer.models.reinforcement.agent import Agent
from primer.regularization import Regularization
from primer.run.building import build_data, build_model

CONFIG_OF_CLASS = {
    target: name
    for name in reversed(groups()["model"])
    if not issubclass(import_target(target := str(target_of("model", name))), SinglePass | GradientFree | Agent)
}
"""One config of each model class that has parameters. Buffers that are fitted have no size before, and
the batches of agents are experience."""


@pytest.mark.parametrize("name", CONFIG_OF_CLASS.values())
def test_forward_depends_only_on_parameters_buffers_and_inputs(name: str) -> None:
    large = ["model.hidden_size=64"] if name in ("alexnet", "vgg11") else []
    config = compose_resolved("train", [f"model={name}", "data.eval_batch_size=4", *large], "unused")
    data = build_data(config)
    model = build_model(config, data, Regularization()).eval()
    batch = next(iter(data.test_dataloader()))
    inputs = (batch.inputs,) if batch.lengths is None else (batch.inputs, batch.lengths)
    tied = dict(model.named_parameters(remove_duplicate=False)).keys() - dict(model.named_parameters()).keys()
    state = {key: value for key, value in model.state_dict().items() if key not in tied}
    changed = {key: value + 0.02 if value.is_floating_point() else value for key, value in state.items()}
    before = model(*inputs)
    outputs = functional_call(model, changed, inputs)
    assert torch.equal(model(*inputs), before)
    assert outputs.shape != before.shape or not torch.allclose(outputs, before)
    changed_model = deepcopy(model)
    changed_model.load_state_dict(changed, strict=False)
    torch.testing.assert_close(outputs, changed_model(*inputs))
