"""A digest of the code that decides a dataset's rows: some modules, what they import, contracts.

Much of what a night makes is kept for later nights (acts, phrases, lists, the shards of a night
that was killed). A night may go on from it only while the code would still make the same. Nobody
keeps a list of that code: it is the modules that are named here as the roots of a dataset, every
module of this package that they import, directly or through others, and every contract whose name
stands in one of them, as a text or as a constant of `pipeline.datasets`. Imports and names are read
from the source, wherever in it they stand; nothing is imported.

The digest changes with any byte of those files, so that a comment costs a rebuild too. It does not
look at packages, at Python or at Spark, nor at a module or a contract whose name is put together
while the code runs. Standard library only.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from types import MappingProxyType

from pipeline import datasets

PACKAGE, CONTRACTS = "pipeline", "schemas"
# A root of everything that Spark makes: its time zone and the like are set there.
SPARK_SESSION = "pipeline.spark_session"

# Modules that decide no row, and why. None of them imports a module that does (a test holds that).
DECIDES_NOTHING: Mapping[str, str] = MappingProxyType(
    {
        "pipeline.errors": "says what is wrong, and then nothing is written",
        "pipeline.durable": "puts files in their place, whatever is in them",
        "pipeline.intact": "compares files with their checksums",
        "pipeline.locks": "keeps processes apart",
        "pipeline.lake": "says where files lie and which count, not what is in them",
        "pipeline.ledger": "counts rows",
        "pipeline.settings": "reads values; those that decide stand beside the digest in each key",
        "pipeline.settings_files": "reads values",
        "pipeline.settings_ranges": "refuses values",
        "pipeline.progress": "logs",
        "pipeline.class_archive": "makes a start faster; the classes are the same",
        "pipeline.night_jvm": "says which JVM works",
        "pipeline.spark_scratch": "says where Spark spills",
        "pipeline.spark_network": "says who may talk to Spark",
        "pipeline.java": "refuses a Java; those that it takes make the same rows",
        "pipeline.open_files": "says what is wrong, and then nothing is written",
        "pipeline.encryption": "says how files are encrypted, not what is in them",
        "pipeline.encryption.keyring": "as above",
        "pipeline.encryption.master_keys": "as above",
        "pipeline.encryption.file_kms": "as above",
        "pipeline.encryption.arrow_keys": "as above",
        "pipeline.encryption.parquet_files": "reads and writes what it is given",
        "pipeline.encryption.duckdb_tables": "hands over files as they are",
        "pipeline.sql_values": "quotes names of files",
        "pipeline.error_words": "says what is wrong, and then nothing is written",
        "pipeline.file_modes": "says who may read files",
        "pipeline.retention.expired": "says which deliveries are left; those read are named beside",
        "pipeline.datasets": "names; those that a module imports are looked up",
        "pipeline.stages": "names of stages, and what each reads and writes",
    }
)


@dataclass(frozen=True)
class Sources:
    """Where code and contracts are read: what is installed, unless a test has something else."""

    package: Traversable = field(default_factory=lambda: resources.files(PACKAGE))
    contracts: Traversable = field(default_factory=lambda: resources.files(CONTRACTS))

    def module(self, name: str) -> Traversable | None:
        """A module's file, of a package its `__init__.py`; none where there is no such module."""
        _, *parts = name.split(".")
        found = [self.package.joinpath(*parts, "__init__.py")]
        if parts:
            found.append(self.package.joinpath(*parts[:-1], f"{parts[-1]}.py"))
        return next((file for file in found if file.is_file()), None)

    def contract_files(self, names: Collection[str]) -> list[Traversable]:
        """Every version of the contracts of some names; names of no contract are passed over."""
        listed = sorted(self.contracts.iterdir(), key=lambda file: file.name)
        found = (file for file in listed if ".v" in file.name)
        return [file for file in found if file.name.partition(".v")[0] in names]


def code_digest(*roots: str, sources: Sources | None = None) -> str:
    """16 hexadecimal digits that change with the code and the contracts behind some rows.

    Args:
        roots: full names of the modules that make them.

    Raises:
        ValueError: there is no such module.
    """
    sources = sources or Sources()
    digest = hashlib.sha256()
    names: set[str] = set()
    for module in deciding_modules(*roots, sources=sources):
        content = _content(module, sources)
        digest.update(f"{module}\0{len(content)}\0".encode() + content)
        names |= _read(content).texts
    for file in sources.contract_files(names):
        content = file.read_bytes()
        digest.update(f"{file.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def deciding_modules(*roots: str, sources: Sources | None = None) -> list[str]:
    """The roots, and all of this package that they import, but for `DECIDES_NOTHING`; sorted.

    Raises:
        ValueError: there is no such module.
    """
    sources = sources or Sources()
    found: set[str] = set()
    todo = list(roots)
    while todo:
        module = todo.pop()
        if module not in found and module not in DECIDES_NOTHING:
            found.add(module)
            todo += imported_modules(module, sources=sources)
    return sorted(found)


def imported_modules(module: str, *, sources: Sources | None = None) -> set[str]:
    """The modules of this package that a module imports by itself, and the packages they are in.

    Raises:
        ValueError: there is no such module.
    """
    sources = sources or Sources()
    found = set()
    for name in _read(_content(module, sources)).imports:
        parts = name.split(".")
        # "pipeline.a.b" may be a module, or a name in the module "pipeline.a".
        for end in range(1, len(parts) + 1):
            above = ".".join(parts[:end])
            if sources.module(above) is not None:
                found.add(above)
    return found


@dataclass(frozen=True)
class _Read:
    """What a source says: full names that it imports, and texts that may name a dataset."""

    imports: frozenset[str]
    texts: frozenset[str]


def _content(module: str, sources: Sources) -> bytes:
    file = sources.module(module)
    if file is None:
        raise ValueError(f"there is no module {module}")
    return file.read_bytes()


@cache
def _read(content: bytes) -> _Read:
    nodes = list(ast.walk(ast.parse(content)))
    texts = (node.value for node in nodes if isinstance(node, ast.Constant))
    written = {text for text in texts if isinstance(text, str) and text.isidentifier()}
    return _Read(
        frozenset(name for node in nodes for name in _imports(node)),
        frozenset(written.union(*map(_dataset_names, nodes))),
    )


def _dataset_names(node: ast.AST) -> set[str]:
    """The datasets whose constants a node imports; all cleaned ones with the function `cleaned`."""
    if not isinstance(node, ast.ImportFrom) or node.module != datasets.__name__:
        return set()
    found: set[str] = set()
    for alias in node.names:
        value = getattr(datasets, alias.name, None)
        if value is datasets.cleaned:
            value = datasets.CLEANED
        found.update(
            [value] if isinstance(value, str) else value if isinstance(value, tuple) else ()
        )
    return found


def _imports(node: ast.AST) -> Iterator[str]:
    """Full names: `pipeline.a` of `from pipeline import a`. Relative imports are not used."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return
    yield from (name for name in names if name.split(".")[0] == PACKAGE)
