"""The keys that this process reads and writes tables with.

A process says once, where it starts, which settings are in force (`use`); readers and writers of
Parquet files (`parquet_files`, `duckdb_tables`, `pipeline.spark_session`) ask here. Without `use`
nothing is encrypted and nothing encrypted can be read. Standard library only.

Master keys are in a file (`file_kms`), or with a key management service: `encryption.kms` names an
entry point of the group `nightcart.kms`, which gives a `pyarrow.parquet.encryption.KmsClient` for a
`KmsConnectionConfig`, and `encryption.spark_kms_class` the same service for Spark, a
`org.apache.parquet.crypto.keytools.KmsClient` on its class path. Both must wrap keys alike.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pipeline.datasets import (
    BESIDE_LISTS,
    CATALOGUE,
    CATALOGUE_CHANGES,
    METRICS,
    PROFILES,
    RECOMMENDATIONS,
)
from pipeline.encryption.master_keys import (
    make_master_key,
    note_key,
    noted_keys,
    read_master_keys,
)
from pipeline.errors import SettingsError
from pipeline.lake import Lake
from pipeline.settings import Encryption, Settings

# Tables that are never encrypted: what marketing's engines read, and what is of no shopper.
PLAIN = (RECOMMENDATIONS, *BESIDE_LISTS, CATALOGUE, CATALOGUE_CHANGES, METRICS, PROFILES)
ENTRY_POINTS = "nightcart.kms"
KEY_BITS = 256
_SPARK_FACTORY = "org.apache.parquet.crypto.keytools.PropertiesDrivenCryptoFactory"
_SPARK_KMS = "nightcart.SparkKeys"
# An option of a write by Spark; empty for a table that stays plain.
SPARK_KEY = "parquet.encryption.uniform.key"


@dataclass(frozen=True, eq=False)
class Keyring:
    """How the tables of one lake are encrypted."""

    encryption: Encryption
    root: Path

    @property
    def writes(self) -> bool:
        """Whether tables are encrypted from now on."""
        return self.encryption.enabled

    @property
    def is_active(self) -> bool:
        """Whether there may be anything encrypted to read."""
        return self.writes or bool(noted_keys(Lake(self.root)))

    @functools.cached_property
    def master_key(self) -> str:
        """The name of the key to write with.

        Raises:
            SettingsError: there is no such key.
        """
        if self.encryption.kms:
            return self.encryption.kms_key
        return next(iter(read_master_keys(Path(self.encryption.key_file))))

    def prepare(self) -> None:
        """Before a stage: make the first key, note which key is written with, miss none.

        Raises:
            SettingsError: a key that the lake was written with is not there.
            StorageError: the key or the note cannot be written.
        """
        lake, path = Lake(self.root), Path(self.encryption.key_file)
        noted = noted_keys(lake)
        if self.encryption.kms:
            client_of(self.encryption)
        elif noted:
            self._refuse_missing(noted)
        elif self.writes and not path.exists():
            make_master_key(path)
        if self.writes:
            note_key(lake, self.master_key)

    def _refuse_missing(self, noted: list[str]) -> None:
        path = Path(self.encryption.key_file)
        try:
            have = read_master_keys(path)
        except SettingsError as error:
            raise SettingsError(f"{error}. {self._what_to_do(noted)}") from None
        if missing := [name for name in noted if name not in have]:
            raise SettingsError(
                f"encryption.key_file {path} has no key {missing[0]}. {self._what_to_do(missing)}"
            )

    def _what_to_do(self, names: list[str]) -> str:
        return (
            f"Tables of {self.root} (cleaned_events and others) are encrypted with "
            f"{', '.join(names)}. Bring the file back from a backup, or name where it is now; "
            "without it, start a new lake (paths.lake) from the raw files"
        )

    def spark_options(self) -> dict[str, str]:
        """Options of a session of Spark; they name where the keys lie, and hold none."""
        if not self.is_active:
            return {SPARK_KEY: ""}
        encryption = self.encryption
        options = {
            "parquet.crypto.factory.class": _SPARK_FACTORY,
            "parquet.encryption.kms.client.class": encryption.spark_kms_class or _SPARK_KMS,
            "parquet.encryption.data.key.length.bits": str(KEY_BITS),
            SPARK_KEY: self.master_key if self.writes else "",
        }
        if encryption.kms:
            return options | {"parquet.encryption.kms.instance.url": encryption.kms_url}
        return options | {
            "nightcart.encryption.key.file": encryption.key_file,
            # The JVM keeps a client for each instance: one for each file and first key.
            "parquet.encryption.kms.instance.id": f"{encryption.key_file} {self.master_key}",
        }


_in_use: Keyring | None = None


def use(settings: Settings) -> Keyring:
    """Have this process read and write by some settings from here on."""
    global _in_use  # noqa: PLW0603  one process works for one lake at a time
    _in_use = Keyring(settings.encryption, Path(settings.paths.lake))
    return _in_use


@contextmanager
def as_before() -> Iterator[None]:
    """Whatever the block uses, the process has what it had before after it."""
    global _in_use  # noqa: PLW0603
    before = _in_use
    try:
        yield
    finally:
        _in_use = before


@contextmanager
def without() -> Iterator[None]:
    """The block, which asks nothing of the lake's tables, works as a process that was told nothing.

    It needs no key, and what it writes for itself is plain.
    """
    global _in_use  # noqa: PLW0603
    with as_before():
        _in_use = None
        yield


def in_use() -> Keyring | None:
    """What the process was told; none where it was told nothing."""
    return _in_use


def client_of(encryption: Encryption) -> Any:
    """What the entry point names.

    Raises:
        SettingsError: no installed package has it.
    """
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if encryption.kms not in found:
        there = f"there are {', '.join(sorted(found))}" if found else "there is none"
        raise SettingsError(
            f"encryption.kms is {encryption.kms!r}, and no installed package has an entry point of "
            f"that name in the group {ENTRY_POINTS} ({there}); install the package of your key "
            "management service, or leave encryption.kms empty for keys in a file"
        )
    return found[encryption.kms].load()
