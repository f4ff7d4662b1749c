"""Spark's errors for a full disk, an unreadable file or a failing expression, as errors of ours."""

from __future__ import annotations

import re
from urllib.parse import unquote

from pipeline.error_words import conditions_of, in_words, key_fault
from pipeline.errors import ContractError, InputError, SettingsError, StorageError
from pipeline.open_files import ran_out, too_many_open_files
from pipeline.sources.source import SourceDataset

_FAILED_ON_A_ROW = ("CAST_INVALID", "CANNOT_PARSE", "ARITHMETIC", "DIVIDE", "INVALID_", "DATETIME_")


def explain(error: Exception, dataset: SourceDataset) -> None:
    """Raise an error of ours for one of Spark's that a user can mend; else do nothing."""
    if ran_out(error):
        raise StorageError(f"cleaning {dataset.name}: {too_many_open_files()}") from None
    if fault := key_fault(error):
        raise SettingsError(f"cleaning {dataset.name}: {fault}. Nothing was committed") from None
    for reason in ("No space left on device", "Permission denied", "Read-only file system"):
        if reason in str(error):
            raise StorageError(
                f"cleaning {dataset.name} could not write: {reason}. Nothing was committed; "
                "make room or give permission, then run the same date again"
            ) from error
    unread = re.search(r"FAILED_READ_FILE.*?reading file (\S+?)\.?\s", str(error))
    if unread:
        # What it says may quote the row that it stands at.
        cause = re.search(
            r"Caused by: (?!org\.apache\.spark\.SparkException)([\w.$]+)(?:: ([^\n'\"`:]{1,100}))?",
            str(error),
        )
        said = ": ".join(["", *filter(None, cause.groups())]) if cause else ""
        raise InputError(
            f"{dataset.where}: Spark cannot read {unquote(unread[1])}{said}. Nothing was written; "
            "deliver the file again, or take it away"
        ) from None
    if any(condition.startswith(_FAILED_ON_A_ROW) for condition in conditions_of(error)):
        raise ContractError(
            f"{dataset.where}: an expression fails on a row: {in_words(error)} "
            "(use try_cast, try_to_timestamp, try_divide, nullif where a null is meant)"
        ) from None
