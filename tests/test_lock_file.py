"""The lock names a version and the hashes of every package, and no host."""

from __future__ import annotations

import re

from tests.literals import REPOSITORY

WITHOUT_HASHES = {"torch"}  # its build is chosen when it is installed


def packages() -> dict[str, list[str]]:
    """Name and version -> hashes."""
    found: dict[str, list[str]] = {}
    for line in (REPOSITORY / "requirements.lock").read_text().splitlines():
        if named := re.match(r"([\w.-]+)==([\w.]+)", line):
            found[named[0]] = []
        elif hashed := re.fullmatch(r" +--hash=sha256:([0-9a-f]{64})( \\)?", line):
            found[list(found)[-1]].append(hashed[1])
        else:
            assert line.startswith("#"), line
    return found


def test_every_package_has_hashes_but_the_one_whose_build_is_chosen_later() -> None:
    found = packages()
    assert len(found) > 150
    bare = {name.partition("==")[0] for name, hashes in found.items() if not hashes}
    assert bare == WITHOUT_HASHES
    assert not [name for name in found if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_no_host_is_named() -> None:
    text = (REPOSITORY / "requirements.lock").read_text()
    assert not re.search(r"https?://|^--(index|extra|find)", text, re.MULTILINE)
