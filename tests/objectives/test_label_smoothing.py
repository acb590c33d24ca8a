"""Label smoothing and soft targets: what training learns from, and evaluation does not see."""

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


def smoothed(log_p: Tensor, targets: Tensor, share: float) -> Tensor:
    """The mean of -sum of q log p, with a share of q spread over all classes."""
    classes = log_p.shape[-1]
    q = F.one_hot(targets, classes) * (1 - share) + share / classes
    return -(q * log_p).sum(-1).mean()


@pytest.mark.parametrize(
    ("make", "classes"),
    [
        (lambda share: CrossEntropy(THREE, share), 3),
        (lambda share: TagCrossEntropy(Tags(("a", "b", "c", "d", "e")), share), 5),
        (lambda share: SequenceCrossEntropy(Sequence(WORDS), share), 5),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_it_is_for_training_alone_and_padding_has_none(make, classes: int, share: float) -> None:
    torch.manual_seed(0)
    objective: Objective = make(share)
    shape = (40,) if classes == 3 else (8, 5)
    logits, targets = torch.randn(*shape, classes), torch.randint(0, classes, shape)
    if len(shape) == 2:
        targets[targets == WORDS.index("</s>")] = 4  # What follows an end would not count.
        targets[0, 1:] = targets[3, 4:] = targets[7] = IGNORE
        logits[7] = 1e6 * torch.arange(classes)  # Padding that counted would show.
    real = targets != IGNORE
    log_p = logits.log_softmax(-1)[real]
    loss, count = objective.loss(logits, targets)
    assert int(count) == real.sum()
    assert loss.item() == pytest.approx(smoothed(log_p, targets[real], share).item(), rel=1e-5)
    plain, _ = objective.eval().loss(logits, targets)
    assert plain.item() == pytest.approx(smoothed(log_p, targets[real], 0.0).item(), rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_it_is_for_training_alone_with_one_logit(share: float) -> None:
    torch.manual_seed(0)
    objective, logits, targets = BinaryCrossEntropy(TWO, share), torch.randn(40, 1), torch.randint(0, 2, (40,))
    log_p = F.logsigmoid(torch.cat([-logits, logits], 1))
    assert objective.loss(logits, targets)[0].item() == pytest.approx(smoothed(log_p, targets, share).item(), rel=1e-5)
    plain, _ = objective.eval().loss(logits, targets)
    assert plain.item() == pytest.approx(smoothed(log_p, targets, 0.0).item(), rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize(("objective", "width"), [(CrossEntropy, 2), (BinaryCrossEntropy, 1)])
def test_shares_of_classes_weigh_the_losses_of_both(objective, width: int, share: float) -> None:
    torch.manual_seed(0)
    made, logits = objective(TWO, share), torch.randn(20, width)
    first, second, part = torch.randint(0, 2, (20,)), torch.randint(0, 2, (20,)), torch.rand(20)
    soft = part[:, None] * F.one_hot(first, 2) + (1 - part[:, None]) * F.one_hot(second, 2)
    loss, count = made.loss(logits, soft)
    assert count == 20
    wanted = 0.0
    for row, p, a, b in zip(logits, part, first, second, strict=True):
        one, other = (made.loss(row[None], target[None])[0] for target in (a, b))
        wanted += (p * one + (1 - p) * other).item() / 20
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    hard, _ = made.loss(logits, F.one_hot(first, 2).float())
    assert hard.item() == pytest.approx(made.loss(logits, first)[0].item(), rel=1e-5)


def test_the_losses_of_validation_and_test_are_plain(quiet_trainer) -> None:
    torch.manual_seed(0)
    data = Digits().prepare()
    model = MLP(data.spec, objective=CrossEntropy(data.spec.target, label_smoothing=0.5))
    trainer = quiet_trainer(max_epochs=5)
    trainer.fit(model, datamodule=data)
    figures = dict(trainer.callback_metrics)
    (tested,) = trainer.test(model, datamodule=data, verbose=False)
    model.eval()
    for part, loss in (("val", figures["val/loss"]), ("test", tested["test/loss"])):
        (batch,) = data.loader(part, train=False)  # type: ignore[arg-type]
        assert batch.targets is not None
        with torch.no_grad():
            assert float(loss) == pytest.approx(F.cross_entropy(model(batch.inputs), batch.targets).item(), rel=1e-4)
    assert model.train().objective.training
    assert figures["train/loss"] > 1.2  # What half of a target spread over ten classes leaves at the least.
