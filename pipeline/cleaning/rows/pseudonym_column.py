"""`pipeline.pseudonym.pseudonym` as a Spark column expression, equal to it for every id.

HMAC (RFC 2104) written out with Spark's own sha2: no Python worker sees an id.

Gives up: the key is part of the query plan. The session keeps its UI off; on a cluster that
stores event logs, those logs must be kept as secret as the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipeline.erased import DIGEST_PREFIX
from pipeline.pseudonym import PSEUDONYM_LENGTH

_BLOCK_BYTES = 64  # of SHA-256


def pseudonym_column(user_id: Column, key: bytes) -> Column:
    """32 hexadecimal digits; null for a null id."""
    if len(key) > _BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    block = key.ljust(_BLOCK_BYTES, b"\0")
    inner_pad = F.lit(bytes(byte ^ 0x36 for byte in block))
    outer_pad = F.lit(bytes(byte ^ 0x5C for byte in block))
    inner = F.sha2(F.concat(inner_pad, user_id.cast("binary")), 256)
    outer = F.sha2(F.concat(outer_pad, F.unhex(inner)), 256)
    return F.substring(outer, 1, PSEUDONYM_LENGTH)


def was_erased(user: Column, key: bytes, digests: Collection[str]) -> Column:
    """Whether a pseudonym's digest (`pipeline.erased.digest_of`) is one of some; null for null.

    Costs a second hash a row, and nothing where nobody was erased: it is not asked then.
    """
    digest = pseudonym_column(F.concat(F.lit(DIGEST_PREFIX), user), key)
    return digest.isin(sorted(digests))
