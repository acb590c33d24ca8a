"""The collection of text messages: fetched once, checked, read."""

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
    """An archive such as the published one, at an address of its own."""
    archive = tmp_path / "published.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(FILE, MESSAGES)
        packed.writestr("readme", "")
    monkeypatch.setattr(spam, "URL", archive.as_uri())
    monkeypatch.setattr(spam, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    return archive


def test_it_is_fetched_once_and_read(server: Path, tmp_path: Path) -> None:
    data = Spam(data_dir=tmp_path / "data").prepare()
    assert data.spec.target == Classes(("ham", "spam"))
    assert [some.size for some in data.parts.values()] == [140, 20, 40]
    assert sorted(file.name for file in (tmp_path / "data" / "sms_spam").iterdir()) == [FILE]
    server.unlink()
    assert Spam(data_dir=tmp_path / "data").prepare().parts["train"].size == 140


def test_an_archive_of_another_digest_is_refused_and_leaves_nothing(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spam, "SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"SMSSpamCollection is not there, .* \(invalid hash value") as caught:
        Spam(data_dir=tmp_path / "data").prepare()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_without_a_network_it_says_where_the_file_belongs(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spam, "URL", (tmp_path / "nowhere.zip").as_uri())
    with pytest.raises(InputError, match=rf"cannot be fetched .*: unpack that archive into {tmp_path}/data/sms_spam"):
        Spam(data_dir=tmp_path / "data").prepare()


def test_the_digest_is_one() -> None:
    assert len(bytes.fromhex(spam.SHA256)) == 32
