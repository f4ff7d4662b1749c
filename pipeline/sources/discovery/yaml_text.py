"""A proposal as YAML text: keys in a fixed order, with a comment for each guess.

Hostile names are quoted; a comment never breaks out of its line. Standard library only.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.sources.discovery.joins import Join
from pipeline.sources.discovery.plan import Plan

_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./*(){}+ -]*$")
_NOT_PLAIN = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def scalar(value: Any) -> str:
    """A YAML scalar that reads as the same text (or number, or truth value)."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    is_plain = _PLAIN.match(text) and text.lower() not in _NOT_PLAIN and text == text.strip()
    if is_plain and ": " not in text and " #" not in text:
        return text
    return json.dumps(text, ensure_ascii=False)


def flow_text(value: Any) -> str:
    """A scalar that may stand in brackets."""
    if isinstance(value, bool):
        return scalar(value)
    text = str(value)
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) and text.lower() not in _NOT_PLAIN
    return text if plain else json.dumps(text, ensure_ascii=False)


def comment(text: str) -> str:
    """A text that stays in its line."""
    return re.sub(r"[^\S ]|[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text)


def comment_line(text: str) -> str:
    """A comment line of its own."""
    return "# " + comment(text)


def source_yaml(
    name: str, description: str, heading: Sequence[str], zone: Sequence[str], plans: Sequence[Plan]
) -> str:
    """The whole source YAML.

    Args:
        name: of the source.
        description: in a sentence.
        heading: comment lines above everything.
        zone: the lines about the time zone.
        plans: in the order in which they are written.
    """
    lines = [line for text in heading for line in _comment_lines(text, "")]
    lines += [f"source: {scalar(name)}", f"description: {scalar(description)}", *zone, "datasets:"]
    for plan in plans:
        lines += _dataset(plan)
    return "\n".join(lines) + "\n"


def _comment_lines(text: str, indent: str) -> list[str]:
    wrapped = textwrap.wrap(comment(text), _WIDTH - len(indent) - 2, break_long_words=False)
    return [f"{indent}# {line}" for line in wrapped]


def _dataset(plan: Plan) -> Iterator[str]:
    yield f"  {plan.dataset}:"
    for text in plan.guesses:
        yield from _comment_lines(f"guess: {text}", "    ")
    yield from _where(plan)
    if plan.row_time:
        yield f"    row_time: {scalar(plan.row_time)}"
    yield "    map:"
    for column, mapped in plan.mapping.items():
        value = (
            json.dumps(mapped.sql, ensure_ascii=False)
            if mapped.sql in ("false", "true")
            else (scalar(mapped.sql))
        )
        yield _with_comment(f"      {column}: {value}", mapped.comment)
    for line in plan.commented:
        yield f"      # {comment(line)}"
    yield from _times(plan)
    yield from _event_types(plan)
    if plan.numbers:
        pairs = ", ".join(
            f"{name}: {{{', '.join(f'{key}: {json.dumps(mark)}' for key, mark in marks.items())}}}"
            for name, marks in plan.numbers.items()
        )
        yield f"    numbers: {{{pairs}}}"
    if plan.strips_decimal:
        yield "    ids: {strip_decimal: true}"
    if plan.latest_by:
        yield _with_comment(
            f"    latest_by: {scalar(plan.latest_by)}", "guess: the last row of a day counts"
        )
    if plan.remove:
        yield "    remove:"
        for rule in plan.remove:
            yield f"      - rule: {rule.rule}"
            yield f"        when: {json.dumps(rule.when, ensure_ascii=False)}"
            yield f"        description: {json.dumps(rule.description, ensure_ascii=False)}"


def _where(plan: Plan) -> Iterator[str]:
    """Whose files are read, and what is joined to them."""
    exploded = plan.table.exploded
    if plan.same_files_as:
        yield f"    same_files_as: {plan.same_files_as}"
        if plan.takes_whole_rows:
            yield "    explode: null    # each row of the file once, not once for each element"
        elif plan.explode_empty:
            yield f"    explode_empty: {plan.explode_empty}"
        return
    for text in (*plan.table.guesses, *plan.table.doubts):
        yield from _comment_lines(text, "    ")
    yield from _files(plan)
    if exploded:
        yield f"    explode: {{{flow_text(exploded.array)}: {exploded.alias}}}"
        if plan.explode_empty:
            yield f"    explode_empty: {plan.explode_empty}"
    if plan.joins:
        yield "    with:    # guess: these files say what the rows of this one lack"
        for join in plan.joins:
            yield from _join(join, has_options=bool(plan.table.options))


def _files(plan: Plan) -> Iterator[str]:
    table = plan.table
    yield f"    files: {json.dumps(table.group.pattern, ensure_ascii=False)}"
    yield f"    format: {table.format}"
    if plan.is_snapshot:
        yield _with_comment(
            "    delivery: snapshot",
            "guess: no date in its name, so it is overwritten; each night keeps what it reads",
        )
    elif not table.group.has_date:
        yield _with_comment("    delivery: dump", "no date in the names: the files hold all days")
    if plan.is_optional:
        yield _with_comment("    required: false", "guess: not every day has such a file")
    if table.options:
        pairs = ", ".join(f"{key}: {option_text(value)}" for key, value in table.options.items())
        yield f"    options: {{{pairs}}}"
    names = [flow_text(name) for name in table.columns]
    yield from _wrapped("    columns: [", names)
    if table.absent:
        yield from _wrapped("    may_be_absent: [", [flow_text(name) for name in table.absent])
    if plan.null_words:
        words = ", ".join(json.dumps(word, ensure_ascii=False) for word in plan.null_words)
        yield _with_comment(f"    null_words: [{words}]", "guess: these stand for no value")


def _join(join: Join, *, has_options: bool) -> Iterator[str]:
    table, name = join.table, join.table.group.pattern
    yield f"      {join.alias}:"
    yield f"        files: {json.dumps(name, ensure_ascii=False)}"
    yield f"        format: {table.format}"
    pairs = ", ".join(f"{key}: {option_text(value)}" for key, value in table.options.items())
    if has_options or table.options:
        yield f"        options: {{{pairs}}}"
    yield from _wrapped("        columns: [", [flow_text(one) for one in table.columns])
    yield _with_comment(
        f"        on: {{{json.dumps(join.this, ensure_ascii=False)}: "
        f"{json.dumps(join.other, ensure_ascii=False)}}}",
        f"{join.overlap:.0%} of the sample's values are in both",
    )
    if join.latest_by:
        yield f"        latest_by: {scalar(join.latest_by)}"


def option_text(value: Any) -> str:
    """An option's value, with characters that nobody sees written as escapes."""
    if isinstance(value, bool):
        return scalar(value)
    return json.dumps(value, ensure_ascii=True)


def _wrapped(start: str, names: Sequence[str]) -> Iterator[str]:
    line = start
    for place, name in enumerate(names):
        piece = name + (", " if place < len(names) - 1 else "]")
        if len(line) + len(piece) > _WIDTH and line != start:
            yield line.rstrip()
            line = " " * len(start)
        line += piece
    yield line


def _times(plan: Plan) -> Iterator[str]:
    if plan.times:
        pairs = ", ".join(
            f"{column}: [{', '.join(_format(one) for one in formats)}]"
            for column, formats in plan.times.items()
        )
        yield f"    times: {{{pairs}}}"
    elif plan.commented_times:
        yield "    # times:"
        for line in plan.commented_times:
            yield f"    #   {comment(line)}"


def _format(text: str) -> str:
    return text if re.fullmatch(r"[a-z_]+", text) else json.dumps(text, ensure_ascii=False)


def _event_types(plan: Plan) -> Iterator[str]:
    if plan.event_types:
        yield _with_comment("    event_types:", "guess: what the retailer's words mean")
        for word, meaning in plan.event_types.items():
            yield f"      {json.dumps(word, ensure_ascii=False)}: {meaning}"
    elif plan.commented_event_types:
        yield "    # event_types:"
    for line in plan.commented_event_types:
        yield f"    #   {comment(line)}"


def _with_comment(line: str, said: str) -> str:
    return f"{line}    # {comment(said)}" if said else line
