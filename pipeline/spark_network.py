"""Who may talk to Spark's processes, and that nobody else can listen. Standard library only.

What a plan holds is sent between driver and executors: rows, and the key of the pseudonyms. On one
machine the driver therefore listens on loopback alone. With a cluster every process has to prove
that it knows a secret (`spark.authenticate`), and what is sent or spilt to disks is encrypted. YARN
and Kubernetes make the secret themselves; a standalone cluster is given it in the environment
variable that Spark has for it, in its master, its workers and each job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

SECRET_VARIABLE = "_SPARK_AUTH_SECRET"  # noqa: S105  # Spark's own name, no secret
LOOPBACK = "127.0.0.1"
LOCAL: Mapping[str, str] = MappingProxyType(
    {"spark.driver.host": LOOPBACK, "spark.driver.bindAddress": LOOPBACK}
)
CLUSTER: Mapping[str, str] = MappingProxyType(
    {
        "spark.authenticate": "true",
        "spark.network.crypto.enabled": "true",
        "spark.io.encryption.enabled": "true",
    }
)


def is_local(master: str) -> bool:
    """Whether driver and executors are one process."""
    return re.match(r"local(\[|$)", master) is not None


def network_options(master: str) -> Mapping[str, str]:
    """Spark's options for a master."""
    return LOCAL if is_local(master) else CLUSTER


def missing_options(master: str, options: Mapping[str, str]) -> list[str]:
    """`name=value` of each option that a session for a master lacks, such as one submitted."""
    wanted = {} if is_local(master) else CLUSTER
    return [f"{name}={value}" for name, value in wanted.items() if options.get(name) != value]
