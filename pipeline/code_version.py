"""Which code made a night: the package's version and, in a checkout, its commit.

Reads the installed package's metadata and the files of `.git`; starts no process. Standard
library only.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

PACKAGE = "nightcart"

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def code_version(repository: Path | None = None) -> dict[str, str | None]:
    """`{"package": version, "commit": hash or None}`.

    Args:
        repository: where to look for `.git`; by default where this package lies.
    """
    root = repository or Path(__file__).resolve().parent.parent
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        version = "not installed"
    return {"package": version, "commit": _commit(root / ".git")}


def _commit(git: Path) -> str | None:
    """What HEAD names, through a branch, a packed branch or a linked worktree."""
    try:
        if git.is_file():  # a worktree: "gitdir: <path>"
            git = git.parent / git.read_text(encoding="utf-8").partition(":")[2].strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head if _COMMIT.fullmatch(head) else None
        shared = git / "commondir"
        home = git / shared.read_text(encoding="utf-8").strip() if shared.is_file() else git
        branch = head.removeprefix("ref: ")
        if (home / branch).is_file():
            found = (home / branch).read_text(encoding="utf-8").strip()
        else:
            packed = (home / "packed-refs").read_text(encoding="utf-8").splitlines()
            found = next((line.split()[0] for line in packed if line.endswith(f" {branch}")), "")
    except OSError:
        return None
    return found if _COMMIT.fullmatch(found) else None
