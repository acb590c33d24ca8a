"""Finding and reading text files."""

from __future__ import annotations

from pathlib import Path

import pytest

from primer.data.readers.csv_rows import read_rows
from primer.data.readers.lines import find_file, read_lines
from primer.data.series.series import TimeSeries
from primer.data.tables.csv_table import CSVTable
from primer.errors import InputError


def denied(self: Path) -> bool:
    raise PermissionError(13, "Permission denied")


def test_a_tilde_is_expanded_to_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.csv").write_text("x\n1\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_file("~/some.csv", tmp_path / "data", "wanted") == tmp_path / "some.csv"
    for file in ("~/none.csv", "~nobody-of-this-name/some.csv"):
        with pytest.raises(InputError, match=f"there is no file {file}.*: wanted"):
            find_file(file, tmp_path, "wanted")


def test_csv_files_are_looked_up_in_the_data_folder_and_then_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, folder in (("current", "."), ("data", "data")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "some.csv").write_text(f"x,{name}\n" + "".join(f"{k},{k % 5}\n" for k in range(40)))
    monkeypatch.chdir(tmp_path)
    for kind in (CSVTable, TimeSeries):
        kind("some.csv", "data", data_dir=tmp_path / "data").prepare()
        kind("some.csv", "current", data_dir=tmp_path / "elsewhere").prepare()
        with pytest.raises(InputError, match=r"there is no file none\.csv in .*data or in .*: data\.path names a CSV"):
            kind("none.csv", "x", data_dir=tmp_path / "data").prepare()


def test_an_inaccessible_path_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"there is no file aaa.* \(File name too long\): wanted"):
        find_file("a" * 300, tmp_path, "wanted")
    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(InputError, match=r"there is no file some\.csv in .* \(Permission denied\): wanted"):
        find_file("some.csv", tmp_path, "wanted")


@pytest.mark.parametrize("read", [read_lines, read_rows])
def test_an_unreadable_file_is_reported_in_one_line(read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.csv").write_text("x,y\n1,2\n")
    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(InputError, match=r"some\.csv cannot be read: Permission denied"):
        read(tmp_path / "some.csv")
