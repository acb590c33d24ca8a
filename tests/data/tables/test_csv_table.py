"""Tables from CSV files: encoding, missing values, and malformed files."""

import csv
from functools import partial

import pytest
import torch

from primer.data.tables.csv_table import CSVTable
from primer.errors import InputError
from primer.models.feedforward.linear import Linear
from primer.spec import Classes, NoTarget, Values

FLOWERS = "length,color,kind\n" + "".join(
    f"{k},{('red', 'blue', 'white')[k % 3]},{('a', 'b')[k % 2]}\n" for k in range(30)
)


@pytest.fixture
def table(tmp_path):
    """A function that builds a data set from a string or bytes."""

    def make(content, **settings):
        file = tmp_path / "table.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return CSVTable(file, **({"target": "kind"} | settings))

    return make


def everything(data, side="inputs"):
    return torch.cat([getattr(part, side) for part in data.parts.values()])


# Encoding.


def test_numbers_are_standardized_and_categories_are_one_hot(table):
    data = table(FLOWERS).prepare()
    assert data.spec.input.names == ("length", "color=blue", "color=red", "color=white")
    assert data.spec.target == Classes(("a", "b"))
    train = data.parts["train"].inputs
    assert data.spec.input.mean == pytest.approx((train[:, 0].mean().item(), 0, 0, 0))
    assert data.spec.input.std == pytest.approx((train[:, 0].std(correction=0).item(), 1, 1, 1))
    rows = everything(data)
    assert sorted(rows[:, 0].tolist()) == list(range(30))
    colors = torch.stack([rows[:, 0] % 3 == k for k in (1, 0, 2)], dim=1)  # blue, red, white
    assert rows[:, 1:].equal(colors.float())
    assert everything(data, "targets").equal((rows[:, 0] % 2).long())


def test_without_a_target_all_columns_are_inputs(table):
    data = table(FLOWERS.replace("red", ""), target=[], missing="impute").prepare()
    assert data.spec.input.names[0] == "length"
    assert data.spec.input.names[-2:] == ("kind=a", "kind=b")
    assert data.spec.target == NoTarget()
    assert all(part.targets is None for part in data.parts.values())
    assert sum(data.sizes().values()) == 30


def test_parts_are_stratified(table):
    text = "x,kind\n" + "".join(f"{k},{'rare' if k % 5 == 0 else 'often'}\n" for k in range(100))
    data = table(text).prepare()
    assert {name: int((part.targets == 1).sum()) for name, part in data.parts.items()} == {
        "train": 14,
        "val": 2,
        "test": 4,
    }


def test_statistics_are_computed_on_the_training_part_only(table):
    """Changes one test sample to an outlier with a new category."""
    data = table(FLOWERS).prepare()
    k = int(data.parts["test"].inputs[0, 0])
    lines = FLOWERS.splitlines()
    assert lines[1 + k].startswith(f"{k},")
    lines[1 + k] = f"1e6,green,{('a', 'b')[k % 2]}"
    changed = table("\n".join(lines)).prepare()
    assert changed.spec == data.spec
    (row,) = changed.parts["test"].inputs[changed.parts["test"].inputs[:, 0] == 1e6]
    assert row.tolist() == [1e6, 0, 0, 0]


def test_columns_and_ignore_select_the_inputs(table):
    text = "id,a,b,kind\n" + "".join(f"{k},{k},{-k},{k % 2}\n" for k in range(20))
    assert table(text).prepare().spec.input.names == ("id", "a", "b")
    assert table(text, ignore=["id"]).prepare().spec.input.names == ("a", "b")
    assert table(text, columns=["b", "a"], ignore=["a"]).prepare().spec.input.names == ("b",)
    assert table(text, columns=["kind", "a"]).prepare().spec.input.names == ("a",)


def test_whitespace_lines_are_blank_and_cells_may_be_long(table):
    rows = "".join(f"{k},{'ab'[k % 2]}\n" for k in range(20))
    text = f"  \nx,kind\n{rows}   \n30,{'a' * 200_000}\n31,{'a' * 200_000}\n \t \n"
    data = table(text).prepare()
    assert data.spec.target == Classes(("a", "a" * 200_000, "b"))
    assert sum(part.size for part in data.parts.values()) == 22
    with pytest.raises(InputError, match=r"table\.csv, line 24: 3 cells"):
        table(text.replace("30,", "30,1,")).prepare()
    assert csv.field_size_limit() == 131_072


def test_quotes_byte_order_mark_blank_lines_and_delimiter(table):
    rows = "".join(f'{k}; "a ""b""; c\n{k % 2}";{k % 2} \n\n' for k in range(20))
    data = table(b"\xef\xbb\xbf" + f'length;"the text"; kind\n{rows}'.encode(), delimiter=";").prepare()
    assert data.spec.input.names == ("length", 'the text=a "b"; c\n0', 'the text=a "b"; c\n1')
    assert len(everything(data)) == 20
    tabs = "".join(f"{k}\t{k % 2}\n" for k in range(20))
    assert table(f"x\tkind\n{tabs}", delimiter="tab").prepare().spec.input.names == ("x",)
    windows = "x,kind\r\n" + "".join(f"{k},{k % 2}\r\n" for k in range(20))
    assert table(windows).prepare().spec.target == Classes(("0", "1"))


def test_unnamed_columns_are_named_after_their_position(table):
    text = ",x,kind\n" + "".join(f"{k},{k},{k % 2}\n" for k in range(20))
    assert table(text, ignore=["column 1"]).prepare().spec.input.names == ("x",)


def test_constant_columns_are_finite(table):
    text = "x,same,kind\n" + "".join(f"{k},7,{k % 2}\n" for k in range(20))
    (batch,) = table(text, batch_size="full").prepare().train_dataloader()
    assert batch.inputs.isfinite().all()


# Classification or regression.


def target_of(table, values, **settings):
    rows = "".join(f"{k},{value}\n" for k, value in enumerate(values))
    return table(f"x,kind\n{rows}", **settings).prepare().spec.target


def test_auto_treats_few_integers_and_texts_as_classes(table):
    assert target_of(table, [k % 3 for k in range(60)]) == Classes(("0", "1", "2"))
    assert target_of(table, [k % 20 for k in range(60)]).names == tuple(str(k) for k in range(20))
    assert target_of(table, ["yes", "no"] * 20) == Classes(("no", "yes"))


def test_auto_treats_fractions_and_many_numbers_as_values(table):
    assert isinstance(target_of(table, [k % 21 for k in range(63)]), Values)
    assert isinstance(target_of(table, [0, 0.5] * 20), Values)


def test_task_overrides_auto(table):
    assert isinstance(target_of(table, [k % 3 for k in range(60)], task="regression"), Values)
    assert target_of(table, [0, 0.5] * 20, task="classification") == Classes(("0", "0.5"))


def test_several_targets_are_values_with_training_moments(table):
    text = "x,u,v\n" + "".join(f"{k},{k % 3},{10 * k}\n" for k in range(40))
    data = table(text, target=["u", "v"]).prepare()
    target, train = data.spec.target, data.parts["train"].targets
    assert isinstance(target, Values)
    assert target.names == ("u", "v")
    assert data.spec.input.names == ("x",)
    assert train.shape == (28, 2)
    assert target.mean == pytest.approx(train.mean(0).tolist())
    assert target.std == pytest.approx(train.std(0, correction=0).tolist())


# Missing values.

WITH_MISSING = "x,color,kind\n" + "".join(
    f"{'' if k == 3 else k},{'NA' if k in (4, 14, 24) else 'red'},{k % 2}\n" for k in range(30)
)


def test_missing_values_are_an_error_with_the_line(table):
    with pytest.raises(InputError, match=r"table\.csv, line 5: 'x' is missing; .* 4 of 30 rows: .*drop.*impute"):
        table(WITH_MISSING).prepare()
    with pytest.raises(InputError, match="line 6: 'color' is missing"):
        table(WITH_MISSING, ignore=["x"]).prepare()


def test_unused_columns_may_have_missing_values(table):
    text = "x,note,kind\n" + "".join(f"{k},,{k % 2}\n" for k in range(20))
    assert table(text, ignore=["note"]).prepare().spec.input.names == ("x",)


def test_drop_removes_rows(table):
    rows = everything(table(WITH_MISSING, missing="drop").prepare())
    assert sorted(rows[:, 0].tolist()) == [k for k in range(30) if k not in (3, 4, 14, 24)]


def test_impute_uses_the_training_mean(table):
    data = table(WITH_MISSING, missing="impute", val_fraction=0, test_fraction=0.5).prepare()
    assert data.spec.input.names == ("x", "color=(missing)", "color=red")
    rows = everything(data)
    assert len(rows) == 30
    (imputed,) = set(rows[:, 0].tolist()) - set(range(30)) or {data.spec.input.mean[0]}
    train = data.parts["train"].inputs[:, 0]
    observed = [value for value in train.tolist() if value != imputed or value in range(30)]
    assert imputed == pytest.approx(sum(observed) / len(observed))
    missing = rows[:, 1] == 1
    assert sorted(rows[missing, 0].tolist()) == [4, 14, 24]
    assert rows[:, 1].equal(1 - rows[:, 2])


def test_impute_drops_rows_without_a_target(table):
    text = "x,kind\n" + "".join(f"{k},{'' if k < 3 else k % 2}\n" for k in range(30))
    rows = everything(table(text, missing="impute").prepare())
    assert sorted(rows[:, 0].tolist()) == list(range(3, 30))


# Malformed input and invalid settings.

GOOD = "x,kind\n" + "".join(f"{k},{k % 2}\n" for k in range(20))
MALFORMED = {
    "empty file": ("", {}, r"table\.csv, line 1: the file is empty"),
    "header only": ("x,kind\n", {}, r"table\.csv, line 2: there are no rows after the column names"),
    "short row": ("x,y,kind\n1,2,a\n3,b\n", {}, r"table\.csv, line 3: 2 cells, .* 3 columns"),
    "long row after a quoted line break": ('x,kind\n"1\n1",a\n2,b,c\n', {}, r"table\.csv, line 4: 3 cells, .* 2 col"),
    "duplicate names": ("x,kind,x\n1,a,2\n", {}, r"table\.csv, line 1: two columns are named 'x'"),
    "one column": ("x;kind\n1;a\n", {}, r"table\.csv, line 1: .* 'x;kind'; is data\.delimiter correct"),
    "open quote": ('x,kind\n1,a\n2,"b\n', {}, r"table\.csv, line 3: unexpected end of data"),
    "not UTF-8": ("x,kind\n1,a\n2,caf\xe9\n".encode("latin-1"), {}, r"table\.csv, line 3: byte 0xe9 is not UTF-8"),
    "target missing": (
        GOOD,
        {"target": "knd"},
        r"data\.target: .*does not have a column 'knd'; did you mean kind\? valid: x, kind",
    ),
    "target not set": (GOOD, {"target": None}, r"data\.target must be the column to predict; valid: x, kind"),
    "task without a target": (GOOD, {"target": [], "task": "regression"}, r"data\.task=regression needs a target"),
    "no columns left without a target": (GOOD, {"target": [], "ignore": ["x", "kind"]}, "any columns to learn from"),
    "column missing": (GOOD, {"columns": ["xx"]}, r"data\.columns: .*does not have a column 'xx'; did you mean x"),
    "ignored column missing": (GOOD, {"ignore": ["y"]}, r"data\.ignore: .*does not have a column 'y'"),
    "no columns left": (GOOD, {"ignore": ["x"]}, r"does not have any columns to predict kind from"),
    "text in regression": ("x,kind\n1,2\n2,hot\n", {"task": "regression"}, r"line 3: 'kind' is 'hot', not a number"),
    "text among numbers": (
        "x,kind\n1,2.5\n2,3.5\n3,hot\n",
        {},
        r"line 4: 'kind' is 'hot', not a number, unlike 2 of 3 cells",
    ),
    "several classes": (
        "x,y,kind\n1,2,3\n",
        {"target": ["kind", "y"], "task": "classification"},
        "accepts one target, not 2: kind, y",
    ),
    "one class": ("x,kind\n1,a\n2,a\n", {}, "'a' in every row"),
    "infinite": ("x,kind\n1,a\n1e999,b\n", {}, r"line 3: 'x' is '1e999', too large"),
    "only missing values": ("x,kind\n,a\n,b\n", {"missing": "drop"}, "all 2 rows have missing values in x, kind"),
    "keys": ("x,kind\n" + "".join(f"k{k},{k % 2}\n" for k in range(1001)), {}, "1001 distinct texts.*data.ignore"),
    "too few rows": ("x,kind\n1,a\n2,b\n", {}, "2 samples are too few"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_input_is_reported_in_one_line(table, case):
    content, settings, message = MALFORMED[case]
    with pytest.raises(InputError, match=message) as error:
        table(content, **settings).prepare()
    assert "\n" not in str(error.value)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*nowhere\.csv"):
        CSVTable(tmp_path / "nowhere.csv", "kind").prepare()
    with pytest.raises(InputError, match="there is no file"):
        CSVTable(tmp_path, "kind").prepare()


def test_without_a_path_the_error_says_what_to_set():
    with pytest.raises(InputError, match=r"set data\.path, and data\.target"):
        CSVTable().prepare()


@pytest.mark.parametrize("settings", [{"task": "guess"}, {"missing": "zero"}, {"delimiter": "::"}, {"delimiter": '"'}])
def test_invalid_settings_are_rejected(settings):
    (name,) = settings
    with pytest.raises(InputError, match=f"{name} must be (one|a single)"):
        CSVTable("table.csv", "kind", **settings)


# Learning.


@pytest.fixture
def fit(quiet_trainer):
    """A function that trains a linear model and returns its test metrics."""

    def run(data, epochs):
        torch.manual_seed(0)
        model = Linear(data.prepare().spec)
        model.optimizer = partial(torch.optim.Adam, lr=0.05)
        trainer = quiet_trainer(max_epochs=epochs)
        trainer.fit(model, datamodule=data)
        return trainer.test(model, datamodule=data, verbose=False)[0]

    return run


def test_folds_learn_and_hold_out_different_rows(table, fit):
    # Neither the number nor the category is sufficient: each alone classifies 70 of 100 rows correctly.
    text = "x,color,kind\n" + "".join(
        f"{k % 10},{'red' if k % 4 < 2 else 'blue'},{'ab'[k % 10 + 4 * (k % 4 < 2) > 6]}\n" for k in range(100)
    )
    held_out = []
    for fold in range(4):
        data = table(text, folds=4, fold=fold, batch_size=8)
        assert fit(data, epochs=20)["test/accuracy"] >= 0.9
        held_out.append(data.parts["test"].inputs)
        assert len(held_out[-1]) == 25
    whole = everything(table(text).prepare())
    assert sorted(torch.cat(held_out).tolist()) == sorted(whole.tolist())


def test_regression_with_two_targets_on_a_dozen_rows(table, fit):
    text = "x,u,v\n" + "".join(f"{k},{2 * k},{-k}\n" for k in range(12))
    data = table(text, target=["u", "v"], batch_size="full")
    results = fit(data, epochs=200)
    assert data.parts["val"].size == 1
    assert results["test/mae"] < 0.5


def test_logistic_regression_on_spambase(data_dir_or_skip, fit):
    data = CSVTable(data_dir_or_skip("spam/spambase.csv"), "type", folds=5)
    accuracy = fit(data, epochs=10)["test/accuracy"]
    assert data.spec.target == Classes(("nonspam", "spam"))
    assert data.spec.input.features == 57
    majority = 1 - data.parts["test"].targets.float().mean().item()
    assert majority < 0.62
    assert accuracy >= 0.90  # scikit-learn's logistic regression reaches 0.912 over five folds.
