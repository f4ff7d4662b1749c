"""Every string that the code spells out, and where, to find what is to be written once."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CODE = ("pipeline", "jobs", "dags")


def spelled_out(words: Collection[str]) -> list[str]:
    """`file:line: word` of each string in the code that is one of some words and nothing else."""
    return [
        f"{file}:{node.lineno}: {node.value}"
        for file, tree in _modules()
        for node in ast.walk(tree)
        if _is_one_of(node, words)
    ]


def spelled_out_in_calls(words: Collection[str], functions: Collection[str]) -> list[str]:
    """The same, of strings that are arguments of some functions or methods."""
    return [
        f"{file}:{argument.lineno}: {argument.value}"
        for file, tree in _modules()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and _name(call.func) in functions
        for argument in (*call.args, *(keyword.value for keyword in call.keywords))
        if _is_one_of(argument, words)
    ]


def files_of(found: Collection[str]) -> set[str]:
    """The files among what was found."""
    return {place.partition(":")[0] for place in found}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for folder in CODE:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            yield (
                path.relative_to(REPOSITORY).as_posix(),
                ast.parse(path.read_text(encoding="utf-8")),
            )


def _is_one_of(node: ast.AST, words: Collection[str]) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in words


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", "") or getattr(function, "id", "")
