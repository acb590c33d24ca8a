"""Downloading, verifying and reading the SMS Spam Collection."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from primer.data.text import spam
from primer.data.text.spam import FILE, Spam
from primer.errors import InputError
from primer.spec import Classes

MESSAGES = "".join(f'{"spam" if k % 5 == 0 else "ham"}\tmessage {k // 2} "£{k}\n' for k in range(200))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive in the published format, at a local URL."""
    archive = tmp_path / "published.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(FILE, MESSAGES)
        packed.writestr("readme", "")
    monkeypatch.setattr(spam, "URL", archive.as_uri())
    monkeypatch.setattr(spam, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    return archive


def test_the_file_is_downloaded_once(server: Path, tmp_path: Path) -> None:
    data = Spam(data_dir=tmp_path / "data").prepare()
    assert data.spec.target == Classes(("ham", "spam"))
    assert [part.size for part in data.parts.values()] == [140, 20, 40]
    assert sorted(file.name for file in (tmp_path / "data" / "sms_spam").iterdir()) == [FILE]
    server.unlink()
    assert Spam(data_dir=tmp_path / "data").prepare().parts["train"].size == 140


def test_an_archive_with_a_wrong_checksum_is_rejected_and_leaves_no_files(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spam, "SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"SMSSpamCollection does not exist, .* \(invalid hash value") as caught:
        Spam(data_dir=tmp_path / "data").prepare()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_without_network_access_the_error_says_where_to_put_the_file(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spam, "URL", (tmp_path / "nowhere.zip").as_uri())
    with pytest.raises(
        InputError, match=rf"cannot be downloaded .*: unpack that archive into {tmp_path}/data/sms_spam"
    ):
        Spam(data_dir=tmp_path / "data").prepare()


def test_checksum_is_a_valid_sha256() -> None:
    assert len(bytes.fromhex(spam.SHA256)) == 32
