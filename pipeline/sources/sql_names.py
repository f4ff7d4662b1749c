"""Names in a source's SQL that are more than a column: `orders.status`, `item.price`, derived ones.

A joined column and a field of an array's element are flat raw columns whose names hold a dot, so an
expression gets them in backquotes: `orders.status` becomes `` `orders.status` ``. A derived name is
replaced by its expression in parentheses. So everything behind the YAML (the allow-list, redaction,
quarantine) knows columns only. Literals and comments are left as they are. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.contracts.sql_text import quoted
from pipeline.errors import ContractError
from pipeline.sources.yaml_entries import nearest

_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`]|``)*`|--[^\n]*|/\*.*?\*/|\w+|\s+|.""",
    re.DOTALL,
)


@dataclass
class SqlNames:
    """What a dataset's names stand for; `used` collects the flat columns that are read.

    `joined` is by alias: the columns of the joined file. `element` is the name of an array's
    element, or empty. `derived` are finished expressions.
    """

    joined: Mapping[str, Iterable[str]] = field(default_factory=dict)
    element: str = ""
    derived: dict[str, str] = field(default_factory=dict)
    used: dict[str, None] = field(default_factory=dict)

    def applied(self, sql: str, where: str) -> str:
        """The expression over flat columns.

        Raises:
            ContractError: it names a column that the joined file does not have.
        """
        tokens = _TOKEN.findall(sql)
        made, at, before = [], 0, ""
        while at < len(tokens):
            token = tokens[at]
            if _is_name(token) and before != ".":
                chain, end = _chain(tokens, at)
                said = self._said(chain, _next(tokens, end), where)
                made.append("".join(tokens[at:end]) if said is None else said)
                at, before = end, "name"
                continue
            made.append(token)
            if not token.isspace():
                before = token
            at += 1
        return "".join(made)

    def _said(self, chain: list[str], behind: str, where: str) -> str | None:
        """What a name is written as, or none where it stays."""
        head, rest = chain[0], chain[1:]
        if not rest and head.lower() in self.derived:
            return None if behind == "(" else f"({self.derived[head.lower()]})"
        if not rest:  # `orders.status` in backquotes
            head, _, field_of = head.partition(".")
            rest = [field_of] if field_of else []
        if rest and head.lower() in self.joined:
            flat = self._joined_column(head.lower(), rest[0], where)
            return ".".join([flat, *map(quoted, rest[1:])])
        if rest and head.lower() == self.element.lower():
            return self._column(".".join([self.element, *rest]))
        return None

    def _joined_column(self, alias: str, column: str, where: str) -> str:
        known = list(self.joined[alias])
        found = next((one for one in known if one.lower() == column.lower()), None)
        if found is None:
            raise ContractError(
                f"{where}: {alias}.{column}: the joined file has no column {column!r};"
                f"{nearest(column, known)}"
            )
        return self._column(f"{alias}.{found}")

    def _column(self, flat: str) -> str:
        self.used.setdefault(flat)
        return quoted(flat)


def _is_name(token: str) -> bool:
    return token[0] == "`" or token[0] == "_" or token[0].isalpha()


def _chain(tokens: list[str], at: int) -> tuple[list[str], int]:
    """The names from here on that dots connect, and where they end."""
    chain, end = [_bare(tokens[at])], at + 1
    while True:
        dot = _skip_space(tokens, end)
        name = _skip_space(tokens, dot + 1)
        if dot >= len(tokens) or tokens[dot] != "." or name >= len(tokens):
            return chain, end
        if not _is_name(tokens[name]):
            return chain, end
        chain.append(_bare(tokens[name]))
        end = name + 1


def _next(tokens: list[str], at: int) -> str:
    at = _skip_space(tokens, at)
    return tokens[at] if at < len(tokens) else ""


def _skip_space(tokens: list[str], at: int) -> int:
    while at < len(tokens) and tokens[at].isspace():
        at += 1
    return at


def _bare(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name
