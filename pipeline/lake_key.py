"""Which key a lake's pseudonyms were made with, so that no other key is ever used for it.

The lake holds `key.json` with a fingerprint: 16 hexadecimal digits of an HMAC-SHA-256 of a fixed
text. The fingerprint tells keys apart and gives nothing of the key away. It is written by the first
night that cleans. From then on a key file that is missing is not made anew, and another key is
refused: with it a user who withdraws would be a stranger, and would go on being written to.
Standard library only.
"""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.datasets import CLEANED
from pipeline.errors import SettingsError
from pipeline.lake import Lake, storage_errors, write_json
from pipeline.pseudonym import KeyFile, key_fingerprint, read_key, read_or_make_key

KEY_FILE = "key.json"


def lake_fingerprint(lake: Lake) -> str | None:
    """The fingerprint of the key that the lake was made with; none for a lake that has none yet.

    Raises:
        SettingsError: the lake's file says nothing.
        StorageError: it cannot be read.
    """
    path = lake.root / KEY_FILE
    with storage_errors(f"cannot read {path}"):
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["fingerprint"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise SettingsError(
                f"{path} does not say which key the lake was made with; bring it back from a backup"
            ) from None


def key_of_lake(lake: Lake, path: Path | str) -> bytes:
    """The key for a lake. Made anew only where nothing was cleaned yet; noted in the lake.

    Raises:
        SettingsError: the key file is missing although the lake has cleaned data, it holds another
            key, others may read it, or it holds too few bytes.
        StorageError: it cannot be read or made.
    """
    path = Path(path)
    known = lake_fingerprint(lake)
    in_use = known is not None or any(lake.dates(name) for name in CLEANED)
    if in_use and not path.exists():
        raise SettingsError(
            f"privacy.key_file {path} is not there, and {lake.root} was made with a key. With a new "
            "one every user would be a stranger, and consent that is withdrawn would not be heeded. "
            "Bring the file back from a backup, or name where it is now. Without it, start a new "
            "lake (paths.lake) from the raw files"
        )
    key = read_key(path) if in_use else read_or_make_key(path)
    found = key_fingerprint(key)
    if known is None:
        write_json(lake.root / KEY_FILE, {"fingerprint": found})
        known = lake_fingerprint(lake)  # of two first nights at once, one was last
    if found != known:
        raise SettingsError(
            f"privacy.key_file {path} holds another key (fingerprint {found}) than the one that "
            f"{lake.root} was made with (fingerprint {known}). Consent that is withdrawn would not "
            "be heeded. Bring that key back, or start a new lake (paths.lake) from the raw files"
        )
    return key


def key_file_of_lake(lake: Lake, path: Path | str) -> KeyFile:
    """Where the key for a lake lies, for who hashes elsewhere; made and refused as `key_of_lake`.

    Raises:
        SettingsError: as `key_of_lake`.
        StorageError: it cannot be read or made.
    """
    return KeyFile(str(path), key_fingerprint(key_of_lake(lake, path)))
