"""The front page of a run's Data Docs, and the head of each dataset's page: what is wrong, first.

Written from the stored results of Great Expectations and from nothing else: the checks that did not
hold, what was found, and in the contract's words why it matters; the rules with too little past to
be evaluated; what every comparison with the past found. Great Expectations' own tables of all
checks follow on each dataset's page.

Everything that came with the data is escaped. Personal values are not in the results.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:\">"
)
STYLE = """<style>
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 1rem auto;
       padding: 0 1rem; }
nav.navbar, .sticky, footer, .cooltip, .col-lg-2, #section-1 { display: none; }
table { border-collapse: collapse; margin: .3rem 0 .8rem; width: 100%; }
th, td { border: 1px solid #ddd; padding: .3rem .6rem; text-align: left; vertical-align: top;
         overflow-wrap: anywhere; }
th { background: #f3f3f3; white-space: nowrap; }
h1 { font-size: 1.6rem; margin: .6rem 0; } h2 { font-size: 1.2rem; margin: 1.6rem 0 .4rem; }
h4, h5, h6 { margin: 1.2rem 0 .4rem; }
.name { white-space: nowrap; font-family: monospace; } .quiet { color: #666; }
.stop, .warn { border-radius: 3px; padding: 0 .4em; color: #fff; white-space: nowrap; }
.stop { background: #b3261e; } .warn { background: #8a5a00; }
.badge { background: #eee; border-radius: 3px; padding: 0 .3em; font-family: monospace; }
.fa-check-circle::before, .passed::before { content: "\\2713"; color: #187a2f; font-weight: bold; }
.fa-times::before, .failed::before { content: "\\2717"; color: #b3261e; font-weight: bold; }
.warned::before { content: "!"; color: #8a5a00; font-weight: bold; }
.fa-exclamation-triangle::before { content: "\\26A0"; }
.text-success { color: #187a2f; } .text-danger { color: #b3261e; }
</style>"""

# From data_docs/, beside which the run's report lies.
_REPORT = "../report.html"
_NOT_EVALUATED = "not evaluated: "

Result = Mapping[str, Any]


def read_result(path: Path) -> Result:
    """A stored validation result."""
    result: Result = json.loads(path.read_text(encoding="utf-8"))
    return result


def index_page(results: Mapping[Path, Result]) -> str:
    """The front page: the summary, then every dataset, those with faults first.

    Args:
        results: by the page of each, relative to the site.
    """
    ordered = sorted(results.items(), key=lambda entry: (entry[1]["success"], entry[0]))
    run = ordered[0][1]["meta"]["run_id"] if ordered else {"run_name": "", "run_time": ""}
    title = f"Checks of {run['run_time'][:10]}, run {run['run_name']}"
    rows = "\n".join(_row(page, result) for page, result in ordered)
    faults = "\n".join(
        f"<h2>{html.escape(_dataset(result))}</h2>{_faults(result)}"
        for _, result in ordered
        if not result["success"]
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8">{POLICY}
<title>{html.escape(title)}</title>{STYLE}</head><body>
<p><a href="{_REPORT}">The night's report</a></p>
<h1>{html.escape(title)}</h1>
<p>{html.escape(_summary(ordered))}</p>
{faults}
<h2>Every dataset</h2>
<p>What Great Expectations found when it held each dataset to its contract.</p>
<table><thead><tr><th></th><th>Dataset and contract</th><th>Checks</th><th>Did not hold</th>
<th>Not evaluated</th></tr></thead>
<tbody>
{rows}
</tbody></table></body></html>
"""


def dataset_head(result: Result, root: str) -> str:
    """What comes before Great Expectations' tables on a dataset's page.

    Args:
        result: the dataset's.
        root: the way to the site's directory, empty or ending in a slash.
    """
    broken, all_checks = len(_broken(result)), len(result["results"])
    summary = f"{broken} of {all_checks} checks do not hold" if broken else "every check holds"
    return (
        f"{links(root)}<h1>{html.escape(_dataset(result))}: {summary}</h1>"
        f"{_faults(result) if broken else ''}{_comparisons(result)}"
        "<h2>Every check, as Great Expectations has it</h2>"
    )


def links(root: str) -> str:
    """The way back, from a page below the site."""
    return (
        f'<p><a href="{root}index.html">All datasets</a> · '
        f'<a href="{root}{_REPORT}">The night\'s report</a></p>'
    )


def _summary(results: Iterable[tuple[Path, Result]]) -> str:
    broken = [meta for _, result in results for meta, _ in _broken(result)]
    stops = sum(meta["severity"] == "stop" for meta in broken)
    warns = len(broken) - stops
    also = f" {warns} {'check warns' if warns == 1 else 'checks warn'} only." if warns else ""
    if stops:
        what = "a check that must hold does" if stops == 1 else f"{stops} checks that must hold do"
        return f"The night was stopped: {what} not.{also}"
    return f"Nothing stops the night.{also}"


def _mark(result: Result) -> str:
    """How a dataset did: a red cross is for what stops a night."""
    severities = {meta["severity"] for meta, _ in _broken(result)}
    return "failed" if "stop" in severities else "warned" if severities else "passed"


def _row(page: Path, result: Result) -> str:
    broken = ", ".join(f"{meta['reason']} ({meta['severity']})" for meta, _ in _broken(result))
    skipped = ", ".join(
        meta["reason"] for meta, found in _drift_checks(result) if _is_skipped(found)
    )
    return (
        f'<tr><td class="{_mark(result)}"></td>'
        f'<td><a href="{html.escape(page.as_posix())}">{html.escape(_dataset(result))}</a> '
        f'<span class="quiet">{html.escape(result["suite_name"])}</span></td>'
        f"<td>{result['statistics']['evaluated_expectations']}</td>"
        f"<td>{html.escape(broken)}</td><td>{html.escape(skipped)}</td></tr>"
    )


def _faults(result: Result) -> str:
    rows = "".join(
        f'<tr><td><span class="{html.escape(meta["severity"])}">{html.escape(meta["severity"])}'
        f'</span></td><td class="name">{html.escape(meta["reason"])}</td>'
        f"<td>{_listed(found)}</td><td>{html.escape(meta['why'])}</td></tr>"
        for meta, found in _broken(result)
    )
    return (
        "<table><thead><tr><th></th><th>Check</th><th>Found</th><th>Why it is asked</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _comparisons(result: Result) -> str:
    """What every rule found that compares with earlier deliveries and holds."""
    broken = {meta["reason"] for meta, _ in _broken(result)}
    rows = "".join(
        f'<tr><td class="name">{html.escape(meta["reason"])}</td>'
        f"<td{' class=quiet' if _is_skipped(found) else ''}>{_listed(found)}</td></tr>"
        for meta, found in _drift_checks(result)
        if meta["reason"] not in broken
    )
    if not rows:
        return ""
    return (
        "<h2>Like the deliveries before</h2><table><thead><tr><th>Rule</th><th>Found</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _broken(result: Result) -> list[tuple[Mapping[str, Any], str]]:
    """What did not hold, with what was found; what stops the night first."""
    found = [
        (check["expectation_config"]["meta"], check["meta"]["found"])
        for check in result["results"]
        if not check["success"]
    ]
    return sorted(found, key=lambda entry: (entry[0]["severity"] != "stop", entry[0]["reason"]))


def _drift_checks(result: Result) -> list[tuple[Mapping[str, Any], str]]:
    """Every comparison with the past, with what was found."""
    found = [
        (meta, check["meta"]["found"])
        for check in result["results"]
        if (meta := check["expectation_config"]["meta"]).get("drift")
    ]
    return sorted(found, key=lambda entry: str(entry[0]["reason"]))


def _is_skipped(found: str) -> bool:
    return found.startswith(_NOT_EVALUATED)


def _listed(found: str) -> str:
    """Several findings below each other."""
    return "<br>".join(html.escape(part) for part in found.split("; "))


def _dataset(result: Result) -> str:
    return str(result["meta"]["active_batch_definition"]["data_asset_name"])
