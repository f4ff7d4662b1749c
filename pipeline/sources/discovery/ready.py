"""Ready mappings: a shipped source of a platform's export, made to fit the files of a folder.

Only what differs from file to file is changed in the shipped text: the names of the files, their
columns and dialect. A column that the mapping reads and the files lack takes its line with it; if a
line is needed, it is said to be missing. Comments stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import yaml

from pipeline.contracts.contract import load_contract
from pipeline.errors import SettingsError
from pipeline.sources.discovery.plan import FILL_IN
from pipeline.sources.discovery.roles import Known
from pipeline.sources.discovery.yaml_text import flow_text, option_text, scalar
from pipeline.sources.source import columns_read
from pipeline.sources.yaml_entries import nearest

PLATFORMS = (
    *("ga4_export", "ga4_flat", "magento_reviews", "olist", "segment"),
    *("shopify_orders", "shopify_tables", "snowplow", "woocommerce"),
)
_OTHER_NAMES = {"shopify": ("shopify_orders", "shopify_tables"), "ga4": ("ga4_export", "ga4_flat")}
_LEAST_SHARE = 0.6  # of the columns that a mapping reads, for a file to be the one that it means
_NO_VALUE = "CAST(NULL AS string)"
_SQL_KEYS = ("row_time", "latest_by")


@dataclass
class Spec:
    """A kind of file that a mapping reads: a dataset's own, or one that is joined to it."""

    where: str
    node: yaml.MappingNode
    columns: list[str]
    needed: tuple[str, ...] = ()
    table: Known | None = None

    @property
    def optional(self) -> list[str]:
        """The keys that a whole file may lack."""
        return _plain(_child(self.node, "may_be_absent")) or []

    @property
    def has_header(self) -> bool:
        """Whether the mapping's files name their columns."""
        return str(_plain(_child(_child(self.node, "options"), "header"))) != "false"

    def found_columns(self, known: Known) -> list[str]:
        """A table's columns, by the mapping's names where it has as many, and no header."""
        table = known.table
        if table.format == "jsonl":  # what no line of the sample has may come tomorrow
            return [*dict.fromkeys([*table.columns, *self.optional])]
        is_bare = table.options.get("header") is False and table.header_row is None
        if is_bare and not self.has_header and len(table.columns) == len(self.columns):
            return self.columns
        return table.columns

    @property
    def there(self) -> list[str]:
        """The columns of its table; none where no table fits."""
        return self.found_columns(self.table) if self.table else []


@dataclass
class Ready:
    """A ready mapping that fits the files, as far as they have what it needs."""

    name: str
    text: str
    to_fill: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    used: list[Known] = field(default_factory=list)


def ready_mappings() -> dict[str, str]:
    """The names of the ready mappings and what each is for."""
    return {name: str(yaml.safe_load(_text(name))["description"]) for name in PLATFORMS}


def recognised(tables: Sequence[Known]) -> str:
    """The platform whose export these files are: all that its mapping reads is there. Or none."""
    found = []
    for name in PLATFORMS:
        specs = _specs(_root(_text(name)))
        _match(specs, tables)
        whole = all({*spec.needed} <= {*spec.there} for spec in specs)
        read = sum(len(spec.needed) for spec in specs)
        expected = [{*spec.columns} - {*spec.optional} for spec in specs]
        listed = sum(len(one & {*spec.there}) for one, spec in zip(expected, specs, strict=True))
        if whole and read >= 4 and listed >= 0.7 * sum(map(len, expected)):
            found.append((read, name))
    return max(found)[1] if found else ""


def made_to_fit(
    name: str, tables: Sequence[Known], *, timezone: str = "", consent: str = ""
) -> Ready:
    """A ready mapping for these files.

    Args:
        name: one of `PLATFORMS`, or what several of them begin with.
        tables: of the folder.
        timezone: of times without an offset, if the reader said it.
        consent: SQL for the users' consent, if the reader said it.

    Raises:
        SettingsError: there is no such mapping.
    """
    name = _one_of(name, tables)
    text = _text(name)
    root = _root(text)
    specs = _specs(root)
    _match(specs, tables)
    ready = Ready(name, text, used=[spec.table for spec in specs if spec.table])
    edits: list[tuple[int, int, str]] = []
    for spec in specs:
        if spec.table is None:
            ready.missing.append(
                f"{spec.where}: no file has the columns {', '.join(spec.needed[:8])}"
            )
        else:
            edits += _file_edits(spec, spec.table)
    gone = {
        spec.where: [one for one in spec.needed if one not in spec.there]
        for spec in specs
        if spec.table
    }
    edits += _edits_for_gone(root, gone, ready, text)
    edits += _edits_for_headers(root, specs)
    if consent:
        edits += _consent_edits(root, consent, text)
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    if timezone:
        said = f"timezone: {timezone}    # as given on the command line"
        text = re.sub(r"^#? ?timezone:.*$", said, text, count=1, flags=re.MULTILINE)
    ready.text = text
    ready.to_fill = [*_to_fill(text)]
    return ready


def _text(name: str) -> str:
    file = resources.files("schemas") / "sources" / f"{name}.yaml"
    return file.read_text(encoding="utf-8")


def _one_of(name: str, tables: Sequence[Known]) -> str:
    if name in PLATFORMS:
        return name
    options = _OTHER_NAMES.get(name)
    if not options:
        raise SettingsError(
            f"--like {name!r}: there is no such ready mapping;"
            f"{nearest(name, [*PLATFORMS, *_OTHER_NAMES])} nightcart source new --list names them"
        )

    def fit(option: str) -> float:
        specs = _specs(_root(_text(option)))
        _match(specs, tables)
        there = [len({*spec.needed} & {*spec.there}) for spec in specs]
        return sum(there) / max(1, sum(len(spec.needed) for spec in specs))

    return max(options, key=fit)


def _root(text: str) -> yaml.MappingNode:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    return node


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                return value  # type: ignore[no-any-return]
    return None


def _plain(node: yaml.Node | None) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value) for value in node.value]
    return node.value if node is not None else None


def _datasets(root: yaml.MappingNode) -> list[tuple[str, yaml.MappingNode]]:
    datasets = _child(root, "datasets")
    assert isinstance(datasets, yaml.MappingNode)
    return [(key.value, value) for key, value in datasets.value]


def _all_sql(node: yaml.Node) -> str:
    """The SQL of a dataset's entry, in one text."""
    entry = _plain(node)
    texts = [*(entry.get("map") or {}).values(), *(str(entry.get(key) or "") for key in _SQL_KEYS)]
    texts += [*(entry.get("derive") or {}).values(), *(entry.get("explode") or {})]
    for key in ("remove", "quarantine"):
        texts += [rule["when"] for rule in entry.get(key) or []]
    for other in (entry.get("with") or {}).values():
        texts += [*(other.get("on") or {})]
    return " ; ".join(texts)


def _specs(root: yaml.MappingNode) -> list[Spec]:
    datasets = _datasets(root)
    specs = []
    for name, node in datasets:
        shared = [other for _, other in datasets if _plain(_child(other, "same_files_as")) == name]
        sql = " ; ".join(_all_sql(one) for one in (node, *shared))
        if _child(node, "files") is not None:
            columns = _plain(_child(node, "columns"))
            aliases = [*(_plain(_child(node, "with")) or {})]
            own = _without_aliases(sql, aliases)
            specs.append(Spec(name, node, columns, columns_read(own, columns)))
        joined = _child(node, "with")
        for alias, other in joined.value if isinstance(joined, yaml.MappingNode) else ():
            columns = _plain(_child(other, "columns"))
            keys = " ; ".join((_plain(_child(other, "on")) or {}).values())
            keys += " ; " + (_plain(_child(other, "latest_by")) or "")
            read = re.findall(rf"\b{re.escape(alias.value)}\.(`[^`]+`|\w+)", sql)
            needed = columns_read(" ".join([keys, *read]), columns)
            specs.append(Spec(f"{name}: with: {alias.value}", other, columns, needed))
    return specs


def _without_aliases(sql: str, aliases: Sequence[str]) -> str:
    for alias in aliases:
        sql = re.sub(rf"\b{re.escape(alias)}\.(`[^`]+`|\w+)", "", sql)
    return sql


def _match(specs: Sequence[Spec], tables: Sequence[Known]) -> None:
    """Find each kind of file: the table that has most of what is read of it."""
    for spec in specs:
        best = (0.0, 0.0)
        for known in tables:
            is_bare = known.table.options.get("header") is False
            columns = {*(spec.found_columns(known) if is_bare else known.table.columns)}
            read = len(columns & {*spec.needed}) / max(1, len(spec.needed))
            alike = len(columns & {*spec.columns}) / max(1, len(columns | {*spec.columns}))
            if read >= _LEAST_SHARE and (read, alike) > best:
                best, spec.table = (read, alike), known


# -- edits of the text: (from, to, what stands there instead) -----------------------------------


def _file_edits(spec: Spec, known: Known) -> Iterator[tuple[int, int, str]]:
    table = known.table
    node = spec.node
    is_dataset = "with:" not in spec.where
    indent = " " * node.start_mark.column
    for key, value in (
        ("files", scalar(table.group.pattern)),
        ("format", table.format),
        ("columns", _columns(spec.there, node, "columns")),
    ):
        child = _child(node, key)
        if child is not None:
            yield (*_span(child), value)
    wanted = "daily" if table.group.has_date else "dump"
    delivery, files = _child(node, "delivery"), _child(node, "files")
    if delivery is not None:
        yield (*_span(delivery), wanted)
    elif is_dataset and wanted == "dump" and files is not None:
        end = files.end_mark.index
        yield end, end, f"\n{indent}delivery: dump"
    options = _child(node, "options")
    chosen = dict(table.options)
    if table.format == "csv" and (_plain(options) or {}).get("multiline") == "true":
        chosen["multiline"] = True  # the platform writes line breaks, whether the sample has any
    # A joined file without options would have those of its dataset.
    if options is not None or chosen or (not is_dataset and table.format == "csv"):
        pairs = ", ".join(f"{key}: {option_text(value)}" for key, value in chosen.items())
        if options is not None:
            yield (*_span(options), f"{{{pairs}}}")
        elif files is not None:
            yield files.end_mark.index, files.end_mark.index, f"\n{indent}options: {{{pairs}}}"
    absent = _child(node, "may_be_absent")
    if absent is not None:
        kept = [one for one in spec.optional if one in spec.there]
        names = [*dict.fromkeys([*kept, *table.absent])]
        yield (*_span(absent), _columns(names, node, "may_be_absent"))
    elif table.absent and files is not None:
        names = [flow_text(one) for one in table.absent]
        end = files.end_mark.index
        yield end, end, f"\n{indent}may_be_absent: [{', '.join(names)}]"


def _span(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.index, node.end_mark.index


def _columns(names: Sequence[str], node: yaml.MappingNode, key: str) -> str:
    """A list in brackets, broken into lines below its beginning."""
    indent = node.start_mark.column + len(key) + 3
    lines, line = [], ""
    for place, name in enumerate(names):
        piece = flow_text(name) + (", " if place < len(names) - 1 else "")
        if line and indent + len(line) + len(piece) > 100:
            lines.append(line.rstrip())
            line = ""
        line += piece
    return "[" + ("\n" + " " * indent).join([*lines, line]) + "]"


def _edits_for_gone(
    root: yaml.MappingNode, gone: dict[str, list[str]], ready: Ready, text: str
) -> Iterator[tuple[int, int, str]]:
    """What reads columns that the files lack: left out, or read as no value beside others."""
    for name, node in _datasets(root):
        of_files = _plain(_child(node, "same_files_as")) or name
        lacking = [f"{column}" for column in gone.get(of_files, ())]
        for where, columns in gone.items():
            if where.startswith(f"{of_files}: with: "):
                lacking += [f"{where.rsplit(' ', 1)[1]}.{column}" for column in columns]
        if not lacking:
            continue
        contract = load_contract(f"raw_{name}")
        needed = {column.name for column in contract.columns if not column.nullable}
        mapping = _child(node, "map")
        pairs = list(mapping.value) if isinstance(mapping, yaml.MappingNode) else []
        entries = [(key, value, f"{name}: {key.value}") for key, value in pairs]
        entries += [
            (key, value, "")
            for key, value in node.value
            if key.value in _SQL_KEYS and _reads(value.value, lacking)
        ]
        for key, value, where in entries:
            missing = _reads(value.value, lacking)
            if not missing:
                continue
            others = _without(value.value, missing)
            if where and _reads_more(others):
                yield (*_span(value), scalar(others))
            else:
                if key.value in needed and where:
                    ready.missing.append(f"{where}: your files have no {' or '.join(missing)}")
                yield _commented(key, value, missing, text)
        for key in ("remove", "quarantine"):
            rules = _child(node, key)
            for rule in rules.value if isinstance(rules, yaml.SequenceNode) else ():
                missing = _reads(_plain(_child(rule, "when")), lacking)
                if missing:
                    when = _child(rule, "when")
                    assert when is not None
                    yield (
                        *_span(when),
                        json.dumps(_without(when.value, missing)) + "\n"
                        if text[when.end_mark.index - 1] == "\n"
                        else json.dumps(_without(when.value, missing)),
                    )


def _reads(sql: str, lacking: Sequence[str]) -> list[str]:
    return [name for name in lacking if re.search(_named(name), _literals_out(sql))]


def _reads_more(sql: str) -> bool:
    """Whether an expression names anything beside literals, functions and what is not there."""
    bare = _literals_out(sql.replace(_NO_VALUE, ""))
    words = re.findall(r"`[^`]+`|\b[A-Za-z_]\w*\b(?!\s*\()", bare)
    return any(word.startswith("`") or word.islower() or not word.isupper() for word in words)


def _named(name: str) -> str:
    alias, _, column = name.rpartition(".")
    head = rf"\b{re.escape(alias)}\." if alias else r"(?<![.\w`])"
    return head + rf"(?:`{re.escape(column)}`|{re.escape(column)}(?!\w))"


def _literals_out(sql: str) -> str:
    return re.sub(r"'(?:[^'\\]|\\.)*'", lambda found: " " * len(found.group(0)), sql)


def _without(sql: str, missing: Sequence[str]) -> str:
    """The SQL with NULL for columns that are not there."""
    for name in missing:
        for found in reversed(list(re.finditer(_named(name), _literals_out(sql)))):
            sql = sql[: found.start()] + _NO_VALUE + sql[found.end() :]
    return sql.strip()


def _commented(
    key: yaml.Node, value: yaml.Node, missing: Sequence[str], text: str
) -> tuple[int, int, str]:
    start = key.start_mark.index
    old = text[start : value.end_mark.index].rstrip()
    indent = " " * key.start_mark.column
    new = "# " + old.replace("\n", f"\n{indent}# ")
    return start, start + len(old), f"{new}    # not in your files: {', '.join(missing)}"


def _edits_for_headers(
    root: yaml.MappingNode, specs: Sequence[Spec]
) -> Iterator[tuple[int, int, str]]:
    """A header that has to be read as a row is removed in each dataset that reads it."""
    for spec in specs:
        header = spec.table.table.header_row if spec.table and "with:" not in spec.where else None
        if header is None:
            continue
        for name, node in _datasets(root):
            if spec.where not in (name, _plain(_child(node, "same_files_as"))):
                continue
            key, mapping = next(one for one in node.value if one[0].value == "map")
            del mapping
            indent = " " * key.start_mark.column
            rules = _child(node, "remove")
            item = (
                f"- rule: header_line\n{indent}    when: {json.dumps(header_sql(header))}\n"
                f"{indent}    description: The header, which is read as a row.\n{indent}  "
            )
            if rules is not None:
                yield rules.start_mark.index, rules.start_mark.index, item
            else:
                start = key.start_mark.index
                yield start, start, f"remove:\n{indent}  {item.rstrip()}\n{indent}"


def header_sql(header: tuple[str, str]) -> str:
    """SQL that is true of a header that is read as a row."""
    column, text = header
    return f"`{column}` = '" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _consent_edits(
    root: yaml.MappingNode, consent: str, text: str
) -> Iterator[tuple[int, int, str]]:
    """What the reader said, in place of the line and of what it asks."""
    for name, node in _datasets(root):
        value = _child(_child(node, "map"), "consent")
        if name == "users" and value is not None:
            start = value.start_mark.index
            said = json.dumps(consent, ensure_ascii=False)
            yield start, text.index("\n", start), f"{said}    # as given on the command line"


def _to_fill(text: str) -> Iterator[str]:
    """What the text says is to be filled in, by dataset."""
    dataset = ""
    for line in text.splitlines():
        if re.match(r"  \w+:\s*$", line):
            dataset = line.strip().rstrip(":")
        if FILL_IN in line:
            what = line.strip().lstrip("# ").split(":")[0]
            said = line.split(FILL_IN, 1)[1].lstrip(":? ")
            yield f"{f'{dataset}: ' if dataset else ''}{what}: {said}"
