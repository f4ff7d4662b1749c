"""Where settings come from: which file is in force, what it says, what the environment overrides.

Reads a TOML file and a mapping of environment variables; gives flat `section.key -> (value,
where it came from)` and turns values into a field's type. Knows no section and checks no range.
Standard library only, so that a DAG may import it.
"""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import SettingsError

ENV_PREFIX = "NIGHTCART_"
CONFIG_VARIABLE = "NIGHTCART_CONFIG"
DEFAULT_FILE = "nightcart.toml"
CONFIG_HELP = (
    f"settings file (default: ${CONFIG_VARIABLE}, else ./{DEFAULT_FILE} if it is there, "
    "else the built-in defaults)"
)

Given = dict[str, tuple[Any, str]]


def chosen_config(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The settings file in force, absolute; none for the defaults.

    It is the argument, else `NIGHTCART_CONFIG`, else ./nightcart.toml if that is there.
    """
    if given is None and environ.get(CONFIG_VARIABLE):
        given = Path(environ[CONFIG_VARIABLE])
    if given is None and Path(DEFAULT_FILE).exists():
        given = Path(DEFAULT_FILE)
    return given.expanduser().resolve() if given is not None else None


def from_toml(path: Path) -> Given:
    """Every key of a settings file.

    Raises:
        SettingsError: it is missing or not TOML.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"settings file {path} does not exist; pass --config FILE") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"settings file {path} cannot be read as TOML: {error}") from None
    flat: Given = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": (inner, str(path)) for key, inner in value.items()}
        else:
            flat[name] = (value, str(path))
    return flat


def from_environment(environ: Mapping[str, str]) -> Given:
    """Every override in the environment."""
    flat: Given = {}
    for name, value in environ.items():
        # A setting is NIGHTCART_SECTION__KEY; other NIGHTCART_ names belong to the shell scripts.
        if name.startswith(ENV_PREFIX) and ("__" in name or name == f"{ENV_PREFIX}SEED"):
            key = name.removeprefix(ENV_PREFIX).lower().replace("__", ".", 1)
            flat[key] = (value, f"environment {name}")
    return flat


def without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without any word to Nightcart: neither a file nor an override."""
    return {name: value for name, value in environ.items() if not name.startswith(ENV_PREFIX)}


def refuse_unknown(given: Given, known: list[str]) -> None:
    """Refuse a key that is none, with the nearest one that is."""
    for key, (_, where) in given.items():
        if key not in known:
            raise SettingsError(f"{where}: unknown setting {key!r}.{_nearest(key, known)}")


def _nearest(key: str, known: list[str]) -> str:
    # The right key in a mistyped or wrong section is closer in meaning than any other spelling.
    same_key = [name for name in known if name.split(".")[-1] == key.split(".")[-1]]
    best = difflib.get_close_matches(key, same_key or known, n=1, cutoff=0.4) or same_key[:1]
    return f" Did you mean {best[0]!r}?" if best else " Run `nightcart config show` for the list."


def coerce(value: Any, kind: Any, key: str, where: str) -> Any:
    """Turn a TOML value or an environment string into the field's type, or refuse it."""
    try:
        return _convert(value, kind)
    except (TypeError, ValueError):
        name = getattr(kind, "__name__", str(kind))
        raise SettingsError(f"{where}: {key} must be {name}, found {value!r}") from None


def _convert(value: Any, kind: Any) -> Any:
    if typing.get_origin(kind) is tuple or isinstance(kind, types.GenericAlias):
        items = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError(value)
        return tuple(items)
    if kind is bool:
        if isinstance(value, bool):
            return value
        words = {"true": True, "1": True, "false": False, "0": False}
        if str(value).lower() not in words:
            raise ValueError(value)
        return words[str(value).lower()]
    if isinstance(value, bool):
        raise TypeError(value)
    if kind is int and isinstance(value, float):
        raise TypeError(value)
    if kind is str and not isinstance(value, str):
        raise TypeError(value)
    return kind(value)
