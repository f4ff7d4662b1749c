"""Makes Great Expectations' pages readable on a machine without a network, and safe on any.

Rewrites the HTML files of a Data Docs site in place: scripts and everything that is fetched from
another host go (style sheets of six public networks, and a logo whose address carries an id of the
context), one inline style sheet comes, and a content security policy that lets nothing run. What is
wrong comes first, in the contract's words (`front_page`). Writes the site's `index.html`, which in
Great Expectations' version is filled by a script from a network.

Gives up: the sorting of tables and the "failed only" switch, which were scripts.
"""

from __future__ import annotations

import re
from pathlib import Path

from pipeline import durable
from pipeline.validation.front_page import (
    POLICY,
    STYLE,
    dataset_head,
    index_page,
    links,
    read_result,
)

_SCRIPT = re.compile(r"<script\b.*?</script\s*>", re.DOTALL | re.IGNORECASE)
_FETCHED = re.compile(
    r"""<(?:link|img)\b[^>]*?\b(?:href|src)=["']https?://[^>]*>""", re.DOTALL | re.IGNORECASE
)
_FETCHED_BY_STYLE = re.compile(r"url\(\s*['\"]?https?://[^)]*\)", re.IGNORECASE)
# A check without counts has no share; "unknown % not null" reads like a fault.
_NOT_COUNTED = re.compile(r">\s*(?:unknown % not null|--)\s*<")
_FOOTER = re.compile(r"<footer>.*?</footer>", re.DOTALL)


def finish_site(site: Path, results: Path) -> Path:
    """Rewrite every page below `site`; write its index from the results below `results`.

    A page that was rewritten before is left as it is.

    Returns:
        the index page.
    """
    index = site / "index.html"
    stored = {
        Path("validations") / path.relative_to(results).with_suffix(".html"): read_result(path)
        for path in sorted(results.rglob("*.json"))
    }
    for page in sorted(site.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        if page != index and POLICY not in text:
            name = page.relative_to(site)
            root = "../" * (len(name.parts) - 1)
            head = dataset_head(stored[name], root) if name in stored else links(root)
            page.write_text(stand_alone(text, head), encoding="utf-8")
    durable.sync_files(sorted(site.rglob("*.html")))
    durable.sync_directories(site)
    durable.put_text(index, index_page(stored))
    return index


def stand_alone(text: str, head: str = "") -> str:
    """A page without scripts and without anything from another host, in a plain style.

    Args:
        text: the page.
        head: HTML that comes before what the page says.
    """
    for pattern in (_SCRIPT, _FETCHED, _FOOTER):
        text = pattern.sub("", text)
    text = _FETCHED_BY_STYLE.sub("none", text)
    text = _NOT_COUNTED.sub(">held<", text)
    text = text.replace("<body>", f"<body>{head}", 1)
    return text.replace("<head>", f"<head>{POLICY}", 1).replace("</head>", f"{STYLE}</head>", 1)
