"""What the readers of CSV and JSON Lines share: Spark's reader, the paths, the encoding's name."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrameReader, SparkSession

from pipeline.errors import ContractError
from pipeline.sources.dialect import java_charset
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.source import SourceDataset


def file_reader(spark: SparkSession) -> DataFrameReader:
    """Reads the files that it is given, whatever is in their names: no globbing, no partitions."""
    return spark.read.option("recursiveFileLookup", "true").option("__globPaths__", "false")


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
