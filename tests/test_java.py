"""Which Java Spark is started with, and what is said of one that it does not run on."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.java import NEWEST_JAVA, OLDEST_JAVA, check_java, java_version

SCRIPT = Path(__file__).resolve().parents[1] / "scripts/require_java.sh"
REFUSED = ("1.8.0_402", "11.0.2", "16", "22.0.1", "23.0.2", "24", "25-ea", "26.0.1")
TAKEN = ("17", "17.0.15", "21.0.4")


def pretend(home: Path, version: str, release: bool) -> Path:
    """A Java that only says its version, as `java -version` or in its `release` file."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-03-17' >&2\n")
    java.chmod(0o755)
    if release:
        (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return java


@pytest.mark.parametrize("release", [False, True])
@pytest.mark.parametrize("version", [*REFUSED, *TAKEN])
def test_both_ends_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, release: bool
) -> None:
    """By the job that would start it, with the version, where it is, and what is wanted."""
    java = pretend(tmp_path / "java", version, release)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))
    if version in TAKEN:
        check_java()
        return
    with pytest.raises(SettingsError) as caught:
        check_java()
    assert f"{java} is Java {java_version(java)} (JAVA_HOME is " in str(caught.value)
    assert "Spark needs Java 17 to 21" in str(caught.value)


@pytest.mark.parametrize("version", [*REFUSED, *TAKEN])
def test_the_script_of_the_setup_refuses_the_same(tmp_path: Path, version: str) -> None:
    """It has the two numbers itself, because it runs before there is a Python."""
    pretend(tmp_path / "java", version, release=False)
    done = subprocess.run(
        ["sh", str(SCRIPT)],
        env={"PATH": os.environ["PATH"], "JAVA_HOME": str(tmp_path / "java")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (version in TAKEN), done.stderr
    if version in REFUSED:
        assert "Spark needs Java 17 to 21, and JAVA_HOME=" in done.stderr
    numbers = dict(re.findall(r"^(oldest|newest)=(\d+)$", SCRIPT.read_text(), re.MULTILINE))
    assert numbers == {"oldest": str(OLDEST_JAVA), "newest": str(NEWEST_JAVA)}


def test_none_at_all_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark's own words for it are that its gateway has exited."""
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SettingsError, match="there is none"):
        check_java()
