"""Recommendations and similar items, in Python and as commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import primer
from primer import __main__
from primer.data.recommendation.ratings import Ratings
from primer.errors import InputError
from primer.models.feedforward.mlp import MLP
from primer.models.recommendation.matrix_factorization import MatrixFactorization
from primer.models.recommendation.neural_cf import NeuralCF
from primer.models.recurrent.gru import GRU
from primer.models.transformers.gpt import GPT
from primer.prediction.recommendation import recommend, similar
from primer.spec import Classes, Interactions, NextToken, Spec, Tokens, Values, Vector

USERS, ITEMS = ("", "Ann", "Bob"), ("", *(f"film {k}" for k in range(8)))
RATED = Spec(Interactions(USERS, ITEMS), Values(("rating",), (3.0,), (0.5,)))
WORDS = ("<pad>", "<unk>", *(f"film_{k}" for k in range(8)))
NEXT = Spec(Tokens(WORDS), NextToken(WORDS, "item"))


@pytest.mark.parametrize("kind", [MatrixFactorization, NeuralCF])
def test_ratings_are_ranked_as_they_are_predicted(kind: type[MatrixFactorization | NeuralCF]) -> None:
    model = kind(RATED).eval()
    values = model.predict([{"user": "Bob", "item": item} for item in ITEMS[1:]]).values
    assert values is not None
    ranked = sorted(zip(ITEMS[1:], values[:, 0].tolist(), strict=True), key=lambda pair: -pair[1])
    found = model.recommend("Bob", 8)
    assert [name for name, _ in found] == [name for name, _ in ranked]
    assert [score for _, score in found] == pytest.approx([score for _, score in ranked], rel=1e-5)
    best = ranked[0][0]
    assert model.recommend("Bob", 3, exclude=[best, "never rated"]) == found[1:4]
    vectors = torch.nn.functional.normalize(model.item_vectors(), dim=1)
    cosines = (vectors @ vectors[ITEMS.index(best)])[1:].tolist()
    nearest = sorted(zip(ITEMS[1:], cosines, strict=True), key=lambda pair: -pair[1])[1:]
    assert [name for name, _ in model.similar(best, 100)] == [name for name, _ in nearest]


@pytest.mark.parametrize("build", [GRU, lambda spec: GPT(spec, 12, 3, 1, context_length=4)])
def test_next_items_are_ranked_by_probability(build) -> None:
    model = build(NEXT).train()
    seen = ["film_3", "film_1", "film_6", "film_1", "film_0"]
    predictions = model.predict([seen])
    assert predictions.probabilities is not None
    ranked = sorted(zip(WORDS, predictions.probabilities[0].tolist(), strict=True), key=lambda pair: -pair[1])
    expected = [pair for pair in ranked if pair[0] not in (*WORDS[:2], *seen)]
    found = model.recommend(seen, 100)
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], rel=1e-4)
    assert model.training
    assert model.recommend("film_3", 2) == model.recommend(["film_3"], 2)
    assert "film_3" not in dict(model.similar("film_3"))
    assert len(model.similar("film_3")) == 7


def test_what_is_unknown_is_an_error_with_the_nearest_name() -> None:
    rated, following = MatrixFactorization(RATED), GRU(NEXT)
    for problem, call in (
        ("the training part has no user 'Anne'; did you mean Ann?", lambda: rated.recommend("Anne")),
        ("the training part has no user ''", lambda: rated.recommend("")),
        ("the training part has no item 'film9'; did you mean film ", lambda: rated.similar("film9")),
        ("the training part has no item 'fillm_3'; did you mean film_3?", lambda: following.recommend(["fillm_3"])),
        ("the training part has no item '<unk>'", lambda: following.similar("<unk>")),
        ("at least one item", lambda: following.recommend([])),
        ("to one user, given by name", lambda: rated.recommend(["Ann", "Bob"])),
        ("count must be an integer of at least 1", lambda: rated.recommend("Ann", 0)),
        ("count must be an integer of at least 1", lambda: recommend(rated, "Ann", 2.5)),
        ("exclude must be a list of items", lambda: rated.recommend("Ann", 1, "film 1")),
        ("the name of the item must be a text, not 1", lambda: recommend(following, [1, 2])),
        ("the name of the item must be a text, not 1", lambda: recommend(following, 1)),
        ("the name of the item must be a text, not 1", lambda: similar(rated, 1)),
        ("MLP does not recommend items", lambda: MLP(Spec(Vector(2), Classes(("a", "b")))).recommend("Ann")),
        ("MLP has no vectors of items", lambda: MLP(Spec(Vector(2), Classes(("a", "b")))).similar("Ann")),
    ):
        with pytest.raises(InputError) as raised:
            call()
        assert problem in str(raised.value)


def test_commands_on_ratings(run_in_process, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = Ratings(users=20, items=30, per_user=10).prepare()
    kind, file = made.spec.input, tmp_path / "ratings.csv"
    assert isinstance(kind, Interactions)
    pairs = made.whole("train").inputs.tolist()
    file.write_text("user,item,rating\n" + "".join(f"{kind.users[u]},{kind.items[i]},{3 + k % 3}\n"
                                                   for k, (u, i) in enumerate(pairs)))  # fmt: skip
    run = str(
        run_in_process(
            "train.py", "model=neural_cf", f"data.path={file}", "trainer.max_epochs=1", "data.batch_size=8"
        ).folder
    )
    capfd.readouterr()
    data = Ratings(file).prepare()
    assert isinstance(data.spec.input, Interactions)
    user = data.spec.input.users[1]
    rated = {data.spec.input.items[i] for u, i in data.whole("train").inputs.tolist() if u == 1}
    assert __main__.main(["recommend", run, user, "top=100"]) == 0
    listed = [line.rsplit("  ", 1)[0].strip() for line in capfd.readouterr().out.splitlines()]
    assert set(listed) == set(data.spec.input.items[1:]) - rated
    assert __main__.main(["similar", run, listed[0], "top=2"]) == 0
    assert capfd.readouterr().out.splitlines()[0].startswith(primer.load(run).similar(listed[0])[0][0])
    file.unlink()
    assert __main__.main(["recommend", run, user, "top=100"]) == 0
    result = capfd.readouterr()
    assert len([line for line in result.out.splitlines() if line.startswith("item")]) == len(data.spec.input.items) - 1
    assert f"items that {user} rated may be listed, too" in result.out + result.err
    for arguments, problem in (
        ([run], "usage: python -m primer recommend"),
        ([run, "usr 3"], "has no user 'usr 3'; did you mean user "),
        ([run, user, user], "recommends items to one user"),
        ([run, user, "top=0"], "top must be an integer of at least 1, not 0"),
        ([run, user, "count=3"], "there is no setting count"),
        ([str(tmp_path / "none"), user], "there is no run folder or checkpoint"),
    ):
        assert __main__.main(["recommend", *arguments]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert problem in line


def test_commands_on_sessions(run_in_process, capfd: pytest.CaptureFixture[str]) -> None:
    result = run_in_process(
        "train.py", "model=gru", "data=sessions", "optimizer=adam", "optimizer.lr=0.005", "trainer.max_epochs=6"
    )
    assert result.status == 0, result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics["test/hit_rate_at_10"] > 1.2 * metrics["baseline/item_to_item/test/hit_rate_at_10"]
    assert metrics["test/hit_rate_at_10"] > 2 * metrics["baseline/test/hit_rate_at_10"]
    assert not any("perplexity" in name or "bits" in name for name in metrics)
    assert not (result.folder / "samples").exists()
    assert "(baseline " in result.out
    assert ", item to item " in result.out
    assert "item to item (test)</th>" in (result.folder / "report.html").read_text()
    capfd.readouterr()
    assert __main__.main(["recommend", str(result.folder), "item_3", "item_5", "top=2"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        name for name, _ in primer.load(result.folder).recommend(["item_3", "item_5"], 2)
    ]
    assert __main__.main(["similar", str(result.folder), "item_3", "item_5"]) == 2
    assert "usage: python -m primer similar" in capfd.readouterr().err
    refused = run_in_process("evaluate.py", f"run={result.folder}", "samples.prompt=item_3")
    assert refused.status == 2
    assert "samples.prompt: GRU on Sessions is not a language model" in refused.err
