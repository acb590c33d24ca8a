"""Label smoothing and soft targets apply in training but not in evaluation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from primer.data.images.digits import Digits
from primer.models.feedforward.mlp import MLP
from primer.objectives import BinaryCrossEntropy, CrossEntropy, Objective, SequenceCrossEntropy, TagCrossEntropy
from primer.spec import IGNORE, Classes, Sequence, Tags

TWO, THREE = Classes(("no", "yes")), Classes(("a", "b", "c"))
WORDS = ("<pad>", "<unk>", "<s>", "</s>", "x")


def smoothed_loss(log_p: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Returns the mean of -sum of q log p, with a fraction of q spread evenly over all classes."""
    classes = log_p.shape[-1]
    q = F.one_hot(targets, classes) * (1 - smoothing) + smoothing / classes
    return -(q * log_p).sum(-1).mean()


@pytest.mark.parametrize(
    ("build", "classes"),
    [
        (lambda smoothing: CrossEntropy(THREE, smoothing), 3),
        (lambda smoothing: TagCrossEntropy(Tags(("a", "b", "c", "d", "e")), smoothing), 5),
        (lambda smoothing: SequenceCrossEntropy(Sequence(WORDS), smoothing), 5),
    ],
)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_smoothing_applies_in_training_only_and_not_to_padding(build, classes: int, smoothing: float) -> None:
    torch.manual_seed(0)
    objective: Objective = build(smoothing)
    shape = (40,) if classes == 3 else (8, 5)
    logits, targets = torch.randn(*shape, classes), torch.randint(0, classes, shape)
    if len(shape) == 2:
        targets[targets == WORDS.index("</s>")] = 4  # Tokens after an end are ignored.
        targets[0, 1:] = targets[3, 4:] = targets[7] = IGNORE
        logits[7] = 1e6 * torch.arange(classes)  # Would change the loss if padding counted.
    real = targets != IGNORE
    log_p = logits.log_softmax(-1)[real]
    loss, count = objective.loss(logits, targets)
    assert int(count) == real.sum()
    assert loss.item() == pytest.approx(smoothed_loss(log_p, targets[real], smoothing).item(), rel=1e-5)
    plain, _ = objective.eval().loss(logits, targets)
    assert plain.item() == pytest.approx(smoothed_loss(log_p, targets[real], 0.0).item(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_smoothing_of_a_single_logit_applies_in_training_only(smoothing: float) -> None:
    torch.manual_seed(0)
    objective = BinaryCrossEntropy(TWO, label_smoothing=smoothing)
    logits, targets = torch.randn(40, 1), torch.randint(0, 2, (40,))
    log_p = F.logsigmoid(torch.cat([-logits, logits], 1))
    assert objective.loss(logits, targets)[0].item() == pytest.approx(
        smoothed_loss(log_p, targets, smoothing).item(), rel=1e-5
    )
    plain, _ = objective.eval().loss(logits, targets)
    assert plain.item() == pytest.approx(smoothed_loss(log_p, targets, 0.0).item(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("kind", "width"), [(CrossEntropy, 2), (BinaryCrossEntropy, 1)])
def test_loss_of_soft_targets_is_the_weighted_loss_of_the_classes(kind, width: int, smoothing: float) -> None:
    torch.manual_seed(0)
    objective, logits = kind(TWO, label_smoothing=smoothing), torch.randn(20, width)
    first, second, weight = torch.randint(0, 2, (20,)), torch.randint(0, 2, (20,)), torch.rand(20)
    soft = weight[:, None] * F.one_hot(first, 2) + (1 - weight[:, None]) * F.one_hot(second, 2)
    loss, count = objective.loss(logits, soft)
    assert count == 20
    expected = 0.0
    for row, p, a, b in zip(logits, weight, first, second, strict=True):
        loss_a, loss_b = (objective.loss(row[None], target[None])[0] for target in (a, b))
        expected += (p * loss_a + (1 - p) * loss_b).item() / 20
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    hard, _ = objective.loss(logits, F.one_hot(first, 2).float())
    assert hard.item() == pytest.approx(objective.loss(logits, first)[0].item(), rel=1e-5)


def test_validation_and_test_losses_are_not_smoothed(quiet_trainer) -> None:
    torch.manual_seed(0)
    data = Digits().prepare()
    model = MLP(data.spec, objective=CrossEntropy(data.spec.target, label_smoothing=0.5))
    trainer = quiet_trainer(max_epochs=5)
    trainer.fit(model, datamodule=data)
    logged = dict(trainer.callback_metrics)
    (tested,) = trainer.test(model, datamodule=data, verbose=False)
    model.eval()
    for part, loss in (("val", logged["val/loss"]), ("test", tested["test/loss"])):
        (batch,) = data.loader(part, train=False)  # type: ignore[arg-type]
        assert batch.targets is not None
        with torch.no_grad():
            assert float(loss) == pytest.approx(F.cross_entropy(model(batch.inputs), batch.targets).item(), rel=1e-4)
    assert model.train().objective.training
    assert logged["train/loss"] > 1.2  # The minimum with half of each target spread over ten classes.
