"""What Spark says of a full disk, an unreadable file or a failing expression, in our own words."""

from __future__ import annotations

import re
from urllib.parse import unquote

from pyspark.errors import PySparkException

from pipeline.errors import ContractError, InputError, StorageError
from pipeline.sources.source import SourceDataset

_FAILED_ON_A_ROW = ("CAST_INVALID", "CANNOT_PARSE", "ARITHMETIC", "DIVIDE", "INVALID_", "DATETIME_")


def explain(error: Exception, dataset: SourceDataset) -> None:
    """Turn what Spark says of a full disk, or of an expression that fails on a row, into our own."""
    message = " ".join(str(error).split("SQLSTATE")[0].split())
    for reason in ("No space left on device", "Permission denied", "Read-only file system"):
        if reason in str(error):
            raise StorageError(
                f"cleaning {dataset.name} could not write: {reason}. Nothing was committed; "
                "make room or give permission, then run the same date again"
            ) from error
    unread = re.search(r"FAILED_READ_FILE.*?reading file (\S+?)\.?\s", str(error))
    if unread:
        cause = re.search(
            r"Caused by: (?!org\.apache\.spark\.SparkException)([^\n]{1,300})", str(error)
        )
        raise InputError(
            f"{dataset.where}: Spark cannot read {unquote(unread[1])}"
            f"{': ' + cause[1] if cause else ''}. Nothing was written; deliver the file again, or "
            "take it away"
        ) from None
    condition = error.getCondition() if isinstance(error, PySparkException) else None
    if (condition or "").startswith(_FAILED_ON_A_ROW):
        raise ContractError(
            f"{dataset.where}: an expression fails on a row: {message} "
            "(use try_cast, try_to_timestamp, try_divide, nullif where a null is meant)"
        ) from None
