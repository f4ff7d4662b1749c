"""Makes Great Expectations' pages readable on a machine without a network, and safe on any.

Rewrites the HTML files of a Data Docs site in place: scripts and everything that is fetched from
another host go (style sheets of six public networks, and a logo whose address carries an id of the
context), one inline style sheet comes, and a content security policy that lets nothing run. Writes
the site's `index.html`, which in Great Expectations' version is filled by a script from a network.

Gives up: the sorting of tables and the "failed only" switch, which were scripts.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

_POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:\">"
)
_STYLE = """<style>
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 1rem auto;
       padding: 0 1rem; }
nav { height: auto !important; }
.sticky, footer, .cooltip { display: none; }
table { border-collapse: collapse; margin: .3rem 0 .8rem; }
th, td { border: 1px solid #ddd; padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { background: #f3f3f3; }
h4, h5, h6 { margin: 1.2rem 0 .4rem; }
.badge { background: #eee; border-radius: 3px; padding: 0 .3em; font-family: monospace; }
.fa-check-circle::before, .passed::before { content: "\\2713"; color: #187a2f; font-weight: bold; }
.fa-times::before, .failed::before { content: "\\2717"; color: #b3261e; font-weight: bold; }
.fa-exclamation-triangle::before { content: "\\26A0"; }
.text-success { color: #187a2f; } .text-danger { color: #b3261e; }
</style>"""

_SCRIPT = re.compile(r"<script\b.*?</script\s*>", re.DOTALL | re.IGNORECASE)
_FETCHED = re.compile(
    r"""<(?:link|img)\b[^>]*?\b(?:href|src)=["']https?://[^>]*>""", re.DOTALL | re.IGNORECASE
)
_FETCHED_BY_STYLE = re.compile(r"url\(\s*['\"]?https?://[^)]*\)", re.IGNORECASE)
_FOOTER = re.compile(r"<footer>.*?</footer>", re.DOTALL)


def finish_site(site: Path, results: Path) -> Path:
    """Rewrite every page below `site`; write its index from the results below `results`.

    A page that was rewritten before is left as it is.

    Returns:
        the index page.
    """
    index = site / "index.html"
    for page in sorted(site.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        if page != index and _POLICY not in text:
            page.write_text(stand_alone(text), encoding="utf-8")
    index.write_text(_index(results), encoding="utf-8")
    return index


def stand_alone(text: str) -> str:
    """A page without scripts and without anything from another host, in a plain style."""
    for pattern in (_SCRIPT, _FETCHED, _FOOTER):
        text = pattern.sub("", text)
    text = _FETCHED_BY_STYLE.sub("none", text)
    return text.replace("<head>", f"<head>{_POLICY}", 1).replace("</head>", f"{_STYLE}</head>", 1)


def _index(results: Path) -> str:
    """One row a dataset: whether it passed, and which checks did not hold."""
    stored = [
        (path.relative_to(results).with_suffix(".html"), json.loads(path.read_text("utf-8")))
        for path in sorted(results.rglob("*.json"))
    ]
    rows = "\n".join(_row(page, result) for page, result in stored)
    run = stored[0][1]["meta"]["run_id"] if stored else {"run_name": "", "run_time": ""}
    title = f"Data Docs of {run['run_time'][:10]}, run {run['run_name']}"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8">{_POLICY}
<title>{html.escape(title)}</title>{_STYLE}</head><body>
<h1>{html.escape(title)}</h1>
<p>What Great Expectations found when it held each dataset to its contract.</p>
<table><thead><tr><th></th><th>Contract</th><th>Checks</th><th>Did not hold</th></tr></thead>
<tbody>
{rows}
</tbody></table></body></html>
"""


def _row(page: Path, result: dict[str, Any]) -> str:
    stated = [
        found["expectation_config"]["meta"] for found in result["results"] if not found["success"]
    ]
    broken = ", ".join(
        f"{meta['reason']} ({meta['severity']})" for meta in sorted(stated, key=_severest_first)
    )
    mark = "passed" if result["success"] else "failed"
    return (
        f'<tr><td class="{mark}"></td>'
        f'<td><a href="validations/{html.escape(page.as_posix())}">'
        f"{html.escape(result['suite_name'])}</a></td>"
        f"<td>{result['statistics']['evaluated_expectations']}</td>"
        f"<td>{html.escape(broken)}</td></tr>"
    )


def _severest_first(meta: dict[str, Any]) -> tuple[bool, str]:
    return meta["severity"] != "stop", meta["reason"]
