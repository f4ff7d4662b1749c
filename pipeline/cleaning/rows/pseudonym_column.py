"""`pipeline.pseudonym.pseudonym` as a Spark column, equal to it for every id.

The hash is computed in the JVM (`pipeline/SparkPseudonym.java`): no Python worker sees an id. The
plan, and all that Spark makes of it (broadcasts, event logs, its UI), says where the key lies and
its fingerprint. Each process that hashes reads the file itself, and refuses another key.

Gives up: with a cluster, every machine that an executor runs on needs the file at the same path.
"""

from __future__ import annotations

from collections.abc import Collection

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.classic.column import Column as ClassicColumn
from pyspark.sql.utils import get_active_spark_context

from pipeline.erased import DIGEST_PREFIX
from pipeline.pseudonym import KeyFile


def pseudonym_column(user_id: Column, key: KeyFile) -> Column:
    """32 hexadecimal digits; null for a null id.

    The columns of a query that fails because a machine has no such key, or another, raise an error
    that `pipeline.error_words.key_fault` words.
    """
    jvm = get_active_spark_context()._jvm
    assert jvm is not None
    value = user_id.cast("binary")._jc
    made = jvm.nightcart.SparkPseudonym.column(value, key.path, key.fingerprint)
    return ClassicColumn(made).cast("string")


def was_erased(user: Column, key: KeyFile, digests: Collection[str]) -> Column:
    """Whether a pseudonym's digest (`pipeline.erased.digest_of`) is one of some; null for null.

    Costs a second hash a row, and nothing where nobody was erased: it is not asked then.
    """
    digest = pseudonym_column(F.concat(F.lit(DIGEST_PREFIX), user), key)
    return digest.isin(sorted(digests))
