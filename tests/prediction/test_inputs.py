"""The forms of raw inputs, and the messages for those that do not fit."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from PIL import Image as PILImage

from primer.batch import Batch
from primer.errors import InputError
from primer.models.feedforward.linear import Linear
from primer.models.feedforward.mlp import MLP
from primer.models.recurrent.lstm import LSTM
from primer.models.transformers.bert import BERT
from primer.prediction.predict import encode
from primer.spec import Classes, Column, Image, NextToken, NoTarget, Series, Spec, Tags, Tokens, Values, Vector

CLASSES = Classes(("no", "yes"))
COLUMNS = (
    Column("age", fill=3.0, required=False),
    Column("color", ("", "blue", "red"), required=False),
    Column("size"),
)
TABLE = Vector(5, ("age", "color=(missing)", "color=blue", "color=red", "size"), columns=COLUMNS)
WORDS = ("<pad>", "<unk>", "good", "bad", "!")


def table_inputs(inputs: Any, vector: Vector = TABLE) -> list[list[float]]:
    """Returns the features that a model receives for a table."""
    model = Linear(Spec(vector, CLASSES))
    received: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda _, args: received.append(args[0].clone()))
    model.predict(inputs)
    return torch.cat(received).tolist()


def test_tables_may_have_any_form() -> None:
    frame = pandas.DataFrame({"size": [1, 2], "color": ["red", None], "extra": ["x", "y"], "age": [7.0, np.nan]})
    expected = [[7, 0, 0, 1, 1], [3, 1, 0, 0, 2]]
    assert table_inputs(frame) == expected
    assert table_inputs(frame.astype({"size": "Int64", "color": "category"})) == expected
    assert table_inputs(frame.to_dict("records")) == expected
    assert table_inputs(frame.to_dict("list")) == expected
    assert table_inputs(frame[["age", "color", "size"]].to_numpy()) == expected
    assert table_inputs([["7", "red", " 1 "], ["NA", "", "2.0"]]) == expected
    assert table_inputs({"age": 7, "color": "red", "size": 1}) == expected[:1]
    plain = Vector(2, ("a", "b"))
    assert table_inputs(torch.tensor([[1, 2]]), plain) == table_inputs(np.array([[1.0, 2.0]]), plain) == [[1, 2]]


def test_unseen_categories_are_encoded_as_zeros_or_an_error(caplog: pytest.LogCaptureFixture) -> None:
    row = {"age": 1, "color": "green", "size": 2}
    with caplog.at_level(logging.WARNING):
        assert table_inputs([row]) == [[1, 0, 0, 0, 2]]
    assert caplog.messages == ["values that training did not see are encoded as zeros: color=green (1)"]
    strict = Vector(1, columns=(Column("color", ("blue",), unseen="error"),))
    with pytest.raises(
        InputError, match=r"^inputs\[1\]: 'color' is 'green', which is none of the categories of training"
    ):
        table_inputs([{"color": "blue"}, row], strict)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (pandas.DataFrame({"Age": [1], "size": [1], "color": ["red"]}), "there is no column 'age'; did you mean Age"),
        ([{"age": 1, "size": 2}], "there is no column 'color'"),
        (np.zeros((2, 5)), r"a table must have the shape \(rows, 3\), not \(2, 5\); the columns are age, color, size"),
        (np.zeros(3), r"shape \(rows, 3\), not \(3,\)"),
        ([[1, "red", "big"]], r"inputs\[0\]: 'size' is 'big', which is not a number"),
        ([[1, "red", 2], [1, "red", None]], r"inputs\[1\]: 'size' is missing"),
        ([[1, "red", 1e39]], "too large for single precision"),
        ({"age": [1, 2], "color": ["red"], "size": [1]}, "different numbers of rows"),
        (Batch(torch.zeros(1, 5)), "predict_batch is for batches"),
        ("text", "a table must have the shape"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_are_rejected_in_one_line(inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        table_inputs(inputs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((2, 1, 3, 3)), r"images have the shape \(2, 1, 3, 3\), but this model expects \(images, 3, 4, 4\)"),
        (np.full((1, 3, 4, 4), 256), "pixels must be from 0 to 255, .* but they are from 256 to 256"),
        (np.full((1, 3, 4, 4), -1.0), "pixels must be from 0"),
        (np.full((1, 3, 4, 4), np.nan), "not finite"),
        ("missing.png", "missing.png"),
        (["a", 3], "images must be an array"),
    ],
)  # fmt: skip
def test_images_that_do_not_fit_are_rejected_in_one_line(inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        MLP(Spec(Image(3, 4, 4), CLASSES)).predict(inputs)
    assert "\n" not in str(caught.value)


def test_images_may_be_files_of_any_size_and_arrays_with_channels_last(tmp_path: Path) -> None:
    model = MLP(Spec(Image(3, 4, 4, (0.5,) * 3, (0.2,) * 3), CLASSES)).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    expected = model.predict_batch(Batch((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.5) / 0.2))
    labels = [CLASSES.names[k] for k in expected.tolist()]
    assert model.predict(pixels).labels.tolist() == labels
    assert model.predict(pixels / 255).labels.tolist() == labels
    assert model.predict(pixels.astype(float)).labels.tolist() == labels
    pictures = [PILImage.fromarray(one) for one in pixels]
    assert model.predict(pictures, batch_size=2).labels.tolist() == labels
    for k, picture in enumerate(pictures):
        picture.resize((8, 8), PILImage.Resampling.NEAREST).save(tmp_path / f"{k}.png")
    assert len(model.predict(tmp_path)) == len(model.predict([tmp_path / f"{k}.png" for k in range(5)])) == 5
    assert model.predict(pixels[0]).labels.tolist() == labels[:1]


def test_images_are_converted_as_for_pretrained_weights() -> None:
    """The data set has smaller, gray images."""
    model = MLP(Spec(Image(3, 8, 8, maximum=16.0, native=(1, 4, 4)), CLASSES))
    assert len(model.predict(np.zeros((2, 4, 4)))) == 2
    with pytest.raises(InputError, match=r"expects \(images, 1, 4, 4\)"):
        model.predict(np.zeros((2, 3, 8, 8)))


def test_series_are_cut_into_windows() -> None:
    model = LSTM(Spec(Series(2, names=("a", "b"), window=3), Values(("a t+1",))), hidden_size=4)
    steps = np.arange(12.0).reshape(6, 2)
    windows = model.predict(steps).values
    assert windows is not None
    assert windows.shape == (4, 1)
    assert np.array_equal(model.predict(np.stack([steps[k : k + 3] for k in range(4)])).values, windows)
    assert np.array_equal(model.predict(pandas.DataFrame(steps, columns=["a", "b"])[["b", "a"]]).values, windows)
    for inputs, message in (
        (steps[:2], "the series has 2 steps, but this model needs 3"),
        (steps[:, :1], r"series must have the shape \(time, 2\) or \(series, 3, 2\), not \(6, 1\)"),
        (np.full((3, 2), np.nan), "missing or infinite"),
        (pandas.DataFrame({"a": [1.0]}), "there is no column 'b'"),
    ):
        with pytest.raises(InputError, match=message):
            model.predict(inputs)


def test_a_text_longer_than_the_context_is_a_problem_of_its_own() -> None:
    spec = Spec(Tokens(("<pad>", "<unk>", "good", "bad")), Classes(("no", "yes")))
    model = BERT(spec, hidden_size=8, num_heads=2, num_layers=1, context_length=4).eval()
    encoded = encode(spec, ["good", "bad " * 5, "bad " * 4], model.longest_input)
    assert encoded.errors == {1: "the text has 5 tokens, and the model reads 4 at most"}
    assert encoded.batch.size == 2
    with pytest.raises(InputError, match=r"inputs\[1\]: the text has 5 tokens"):
        model.predict(["good", "bad " * 5])


def test_texts_are_split_with_the_tokenizer_of_the_data() -> None:
    model = LSTM(Spec(Tokens(WORDS, tokenizer="words", lowercase=True, max_length=3), CLASSES), hidden_size=4)
    texts = model.predict(["GOOD!", "bad bad unheard good"])
    tokens = model.predict([["good", "!"], ("bad", "bad", "other")])
    assert np.array_equal(texts.probabilities, tokens.probabilities)  # type: ignore[arg-type]
    for inputs, message in ((["good", " "], r"inputs\[1\]: the text is empty"), ([3], "neither a text nor a list")):
        with pytest.raises(InputError, match=message):
            model.predict(inputs)
    silent = LSTM(Spec(Tokens(WORDS, tokenizer="none"), NextToken(WORDS)), hidden_size=4)
    assert silent.predict([["good", "bad"]]).labels is not None
    with pytest.raises(InputError, match="pass a list of tokens"):
        silent.predict(["good"])


def test_tags_are_those_of_each_sentence_in_the_given_order() -> None:
    model = LSTM(Spec(Tokens(WORDS), Tags(("A", "B", "C"))), hidden_size=4)
    sentences = [["good"], ["bad", "good", "!"], ["good", "!"]]
    together = model.predict(sentences)
    assert together.tokens == sentences
    assert together.tags == [model.predict([sentence]).tags[0] for sentence in sentences]  # type: ignore[index]
    assert [len(tags) for tags in together.tags] == [1, 3, 2]


def test_predicting_does_not_change_the_model() -> None:
    model = MLP(Spec(Vector(2), CLASSES), dropout=0.5)
    assert model.training
    first, second = (model.predict([[1.0, 2.0]]).probabilities for _ in range(2))
    assert np.array_equal(first, second)  # type: ignore[arg-type]
    assert model.training


def test_results_print_and_convert_to_a_data_frame() -> None:
    predictions = MLP(Spec(Vector(2, std=(1.0, 1.0), mean=(0.0, 0.0)), CLASSES)).predict(np.ones((12, 2)))
    frame = predictions.to_dataframe()
    assert list(frame.columns) == ["prediction", "probability", "probability_no", "probability_yes"]
    assert frame.iloc[3].to_dict() == predictions[3] == list(predictions)[3]
    assert predictions[-1] == predictions[11]
    lines = repr(predictions).splitlines()
    assert lines[0].split() == ["prediction", "probability"]
    assert lines[-1] == "… 2 more"
    values = Linear(Spec(Vector(1), Values(("x", "y"), (100.0, 0.0), (1.0, 1.0)))).predict([[0.5]])
    assert list(values[0]) == ["prediction_x", "prediction_y"]
    assert abs(values[0]["prediction_x"] - 100) < 5


def test_a_model_without_targets_predicts_nothing() -> None:
    with pytest.raises(InputError, match="nothing to predict"):
        encode(Spec(Vector(2), NoTarget()), [[1, 2]])
