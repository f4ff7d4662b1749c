"""What the readers share: Spark's reader, the paths, the encoding's name.

Hadoop compares a local file with a `.<name>.crc` beside it, if there is one. A retailer's copy of a
file can bring one of another version, so raw files are read without it (`sources.damage` finds what
is broken). Files and folders whose name begins with `.` or `_` are never read (`file_pattern`).
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrameReader, SparkSession

from pipeline.errors import ContractError
from pipeline.sources.dialect import java_charset
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.source import SourceDataset

# Not from Hadoop's cache, which has the file system of the session.
_WITHOUT_CHECKSUMS = {
    "fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "fs.file.impl.disable.cache": "true",
}


def file_reader(spark: SparkSession) -> DataFrameReader:
    """Reads the files that it is given, whatever is in their names: no globbing, no partitions."""
    return spark.read.options(
        **{"recursiveFileLookup": "true", "__globPaths__": "false", **_WITHOUT_CHECKSUMS}
    )


def paths_of(files: Sequence[DeliveredFile]) -> list[str]:
    """The files' paths, for Spark."""
    return [str(file.path) for file in files]


def charset_of(spark: SparkSession, dataset: SourceDataset) -> str:
    """The name by which Java knows the dataset's encoding.

    Raises:
        ContractError: Java does not read it.
    """
    name = java_charset(dataset.encoding)
    jvm = spark._jvm
    assert jvm is not None
    if not jvm.java.nio.charset.Charset.isSupported(name):
        raise ContractError(
            f"{dataset.where}: options: encoding {dataset.encoding!r} is not one that Java reads"
        )
    return name
