"""Links in Markdown files lead somewhere; pages and modules that are named are there.

Nothing is fetched: links to other hosts are not looked at.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# Folders of source code and files beside them that may name a page of docs/.
SOURCES = ("benchmarks", "dags", "docker", "jobs", "pipeline", "schemas", "scripts", "tests")
SUFFIXES = (".py", ".sh", ".yaml", ".toml")

_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(\s*([^)\s]+)[^)]*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_PAGE = re.compile(r"docs/[\w./-]+\.md")


def links(page: Path) -> list[str]:
    """Targets of a page's links, but for those in code."""
    text = _CODE.sub("", _FENCED.sub("", page.read_text(encoding="utf-8")))
    return _LINK.findall(text)


def anchors(page: Path) -> set[str]:
    """What may follow `#` in a link to a page, by the rules of GitHub."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    seen: Counter[str] = Counter()
    found = set()
    for heading in _HEADING.findall(text):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def fault(page: Path, link: str) -> str:
    """Why a link leads nowhere; empty where it leads somewhere."""
    if re.match(r"[a-z][a-z0-9+.-]*:", link):
        return ""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT):
        return f"{link} leads out of the repository"
    if not target.exists():
        return f"{link}: {target.relative_to(ROOT)} is not there"
    if anchor and (target.suffix != ".md" or anchor not in anchors(target)):
        return f"{link}: {target.relative_to(ROOT)} has no heading #{anchor}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    faults = [text for link in links(page) if (text := fault(page, link))]
    assert not faults, "\n".join(faults)


def test_pages_have_links() -> None:
    """The pattern finds links at all: of files, of folders, with and without a heading."""
    found = {link for page in PAGES for link in links(page)}
    assert {"docs/runbook.md", "docs/contracts"} <= found
    assert any("#" in link for link in found)


def test_pages_that_source_code_names_are_there() -> None:
    files = [
        file
        for folder in SOURCES
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in SUFFIXES and file.is_file() and file != Path(__file__)
    ]
    files += [ROOT / "pyproject.toml", ROOT / "Makefile"]
    named = {
        (file.relative_to(ROOT), page)
        for file in files
        for page in _PAGE.findall(file.read_text(encoding="utf-8"))
    }
    assert any("experiments" in page for _, page in named)
    missing = [f"{file} names {page}" for file, page in named if not (ROOT / page).exists()]
    assert not missing, "\n".join(sorted(missing))


def test_every_decision_record_is_in_the_index() -> None:
    folder = ROOT / "docs/adr"
    records = {file.name for file in folder.glob("[0-9]*.md")}
    assert records
    assert records - set(links(folder / "README.md")) == set()


def test_modules_that_the_architecture_names_are_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", text))
    assert named
    missing = [
        name
        for name in named
        if not any((top / name).exists() for top in (ROOT, ROOT / "pipeline"))
    ]
    assert not missing, ", ".join(sorted(missing))
