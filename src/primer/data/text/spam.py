"""SMS spam classification."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch

from primer.data.text.text_classification import TextClassification
from primer.errors import InputError
from primer.records import run_folder

URL = "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip"
SHA256 = "1587ea43e58e82b14ff1f5425c88e17f8496bfcdb67a583dbff9eefaf9963ce3"
FILE = "SMSSpamCollection"


class Spam(TextClassification):
    """The SMS Spam Collection: 5,574 text messages in English, 747 of them spam (Almeida, Gómez Hidalgo and Yamakami
    2011; CC BY 4.0). Each line of the file is a label, ``ham`` or ``spam``, a tab, and the message.

    The file (0.2 MB) is downloaded to ``data_dir/sms_spam`` if it is missing. There is no published test part.

    Args:
        lowercase: see ``TextClassification``.
        drop_duplicates: see ``TextClassification``; hundreds of messages occur more than once.
        **kwargs: see ``LabeledTexts``.

    Raises:
        InputError: if the file is missing and cannot be downloaded, or is malformed.
    """

    def __init__(self, *, lowercase: bool = True, drop_duplicates: bool = True, **kwargs: Any) -> None:
        table: dict[str, Any] = {"format": "tsv", "header": False, "label": 1, "text": 2}
        table |= {"lowercase": lowercase, "drop_duplicates": drop_duplicates}
        super().__init__(train=f"sms_spam/{FILE}", **table, **kwargs)

    def download(self) -> None:
        file = self.data_dir / "sms_spam" / FILE
        if file.is_file():
            return
        try:
            with tempfile.TemporaryDirectory() as folder:
                archive = Path(folder) / "archive.zip"
                torch.hub.download_url_to_file(URL, str(archive), hash_prefix=SHA256, progress=False)
                with zipfile.ZipFile(archive) as opened:
                    run_folder.write(file, opened.read(FILE))
        except Exception as error:  # Network, disk, checksum and archive errors have different types.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"{file} does not exist, and {URL} cannot be downloaded ({reason}): "
                f"unpack that archive into {file.parent}"
            ) from error
