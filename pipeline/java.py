"""The Java that Spark starts with: where it is, which version, and whether Spark runs on it.

Spark 4.1 is released for Java 17 and 21. On 23 and newer it fails as it starts: its Hadoop 3.4.2
asks `Subject.getSubject`, which Java 23 refuses and Java 24 no longer has (JEP 486,
HADOOP-19212). Versions between 17 and 21 are accepted. `scripts/require_java.sh` has the same two
numbers, because it runs before there is a Python. Standard library only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from pipeline.errors import SettingsError

OLDEST_JAVA, NEWEST_JAVA = 17, 21
_VERSION = re.compile(r'(?:JAVA_VERSION=| version )"(?:1\.)?(\d+)')


def java_program() -> Path | None:
    """The Java program that Spark's scripts start, through all links."""
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    return Path(found).resolve() if found and Path(found).is_file() else None


def java_version(java: Path) -> int | None:
    """The major version, by the file that every Java has beside it, or else by asking it."""
    release = java.parent.parent / "release"
    try:
        text = release.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = _VERSION.search(text)
    if found is None:
        try:
            asked = subprocess.run(  # noqa: S603  the program that Spark will start
                [str(java), "-version"], capture_output=True, text=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        found = _VERSION.search(asked.stderr + asked.stdout)
    return int(found[1]) if found else None


def check_java() -> None:
    """Refuse to start Spark where it would fail later, in words of its own.

    Raises:
        SettingsError: there is no Java, or Spark does not run on this one.
    """
    java = java_program()
    home = os.environ.get("JAVA_HOME")
    where = f"JAVA_HOME is {home}" if home else "JAVA_HOME is not set, so the PATH decides"
    wanted = f"Spark needs Java {OLDEST_JAVA} to {NEWEST_JAVA}"
    if java is None:
        raise SettingsError(
            f"{wanted}, and there is none ({where}); scripts/require_java.sh says how to get one"
        )
    version = java_version(java)
    if version is not None and not OLDEST_JAVA <= version <= NEWEST_JAVA:
        raise SettingsError(
            f"{wanted}, and {java} is Java {version} ({where}); point JAVA_HOME at another, or "
            "have scripts/require_java.sh say how to get one"
        )
