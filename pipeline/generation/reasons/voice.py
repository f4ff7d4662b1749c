"""What a shop writes with: the sentences of each language, and the words that it never uses.

`schemas/voice.toml` ships nine languages, two of them in two forms; the shop's own file
(`reasons.voice`) changes single entries or adds a language. A table is looked up by the tag, then
by ever shorter parts of it (RFC 4647, 3.4). Who has a language that is in neither file is written
to in `reasons.default_language`, or gets no words: never in another language by accident.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pipeline.errors import SettingsError
from pipeline.generation.reasons.sentence_checks import is_invisible
from pipeline.language_tag import primary_language, tag_and_primary
from pipeline.settings import Reasons

# Why an item is recommended, as far as a template can say it.
BOUGHT, RATED, SEEN, POPULAR, CHOSEN = "bought", "rated", "seen", "popular", "chosen"
THIS_ITEM = "this_item"
FORBIDDEN, ALLOWED = "forbidden", "allowed"
WORDS = (FORBIDDEN, ALLOWED)

_PLACES = {
    BOUGHT: {"anchor", "item"},
    RATED: {"anchor", "item"},
    SEEN: {"anchor", "item"},
    POPULAR: {"item"},
    CHOSEN: {"item"},
    THIS_ITEM: set[str](),
}
_PLACE = re.compile(r"\{([^{}]*)\}")
MAX_SENTENCE = 200  # characters, the titles aside
_TRADITIONAL = frozenset({"hant", "tw", "hk", "mo"})


@dataclass(frozen=True)
class Voice:
    """Sentences and forbidden words by tag in lower case."""

    sentences: Mapping[str, Mapping[str, str]]
    forbidden: Mapping[str, tuple[str, ...]]
    default_language: str | None = None

    def language(self, tag: str | None) -> str | None:
        """The table by which a user with this tag is written to; None: by none."""
        return _lookup(tag, self.sentences) or self.default_language

    def facts(self) -> dict[str, Any]:
        """All of it, for a fingerprint."""
        return {
            "sentences": {name: dict(entries) for name, entries in self.sentences.items()},
            "forbidden": {name: list(words) for name, words in self.forbidden.items()},
            "default_language": self.default_language,
        }


NO_VOICE = Voice({}, {})


def read_voice(reasons: Reasons) -> Voice:
    """The shipped voice with the shop's own entries over it.

    Raises:
        SettingsError: `reasons.voice` cannot be read, or an entry of it is missing or cannot be
            used; or there are no sentences in `reasons.default_language`. The message names file,
            language and entry.
    """
    shipped = (resources.files("schemas") / "voice.toml").read_text(encoding="utf-8")
    tables = _checked("schemas/voice.toml", tomllib.loads(shipped), {})
    if reasons.voice:
        tables = _checked(reasons.voice, _read(reasons.voice), tables)
    default = _lookup(reasons.default_language, tables)
    if reasons.default_language and default is None:
        raise SettingsError(
            f"reasons.default_language: there are no sentences in {reasons.default_language!r}; "
            f"known are {', '.join(sorted(tables))}. Add its table to the file of reasons.voice"
        )
    return Voice(
        {
            name: {key: text for key, text in entries.items() if key not in WORDS}
            for name, entries in tables.items()
        },
        {name: tuple(entries.get(FORBIDDEN, ())) for name, entries in tables.items()},
        default,
    )


def written_in(reasons: Reasons) -> frozenset[str]:
    """Primary languages whose users are written to; none where that is all or nobody."""
    if not reasons.enabled or reasons.default_language:
        return frozenset()
    return frozenset(map(primary_language, read_voice(reasons).sentences))


def _lookup(tag: str | None, tables: Collection[str]) -> str | None:
    """The longest part of a tag that has a table."""
    whole = tag_and_primary(tag)[0] if tag_and_primary(tag) else ""
    subtags = whole.split("-")
    if subtags[0] == "zh" and "hans" not in subtags and _TRADITIONAL.intersection(subtags):
        subtags = ["zh", "hant"]
    parts = ("-".join(subtags[:n]) for n in range(len(subtags), 0, -1))
    return next((part for part in parts if part in tables), None)


def _read(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"reasons.voice: cannot read {path}: {error}") from None


def _checked(
    path: str, content: Mapping[str, Any], earlier: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Earlier tables with those of a file over them; an entry that cannot be used is refused."""
    tables = {name: dict(entries) for name, entries in earlier.items()}
    for name, entries in content.items():
        where = f"{path}: [{name}]"
        if not isinstance(entries, dict):
            raise SettingsError(f"{path}: expected a table a language, such as [en]; found {name}")
        if tag_and_primary(name)[:1] != (name,):
            raise SettingsError(
                f"{where}: expected a BCP 47 tag in lower case, such as de, pt-br or zh-hant"
            )
        for key, value in entries.items():
            _check_entry(f"{where} {key}", key, value)
        table = tables.get(name) or dict(tables.get(_lookup(name, tables) or "", {}))
        forbidden = [*table.get(FORBIDDEN, ()), *entries.get(FORBIDDEN, ())]
        for word in entries.get(ALLOWED, ()):
            if word not in forbidden:
                raise SettingsError(
                    f"{where} allowed: {word!r} is not forbidden; these are: {', '.join(forbidden)}"
                )
        allowed = entries.get(ALLOWED, ())
        table |= entries
        table[FORBIDDEN] = [word for word in dict.fromkeys(forbidden) if word not in allowed]
        missing = [key for key in _PLACES if key not in table]
        if missing:
            raise SettingsError(
                f"{where}: {', '.join(missing)} missing; a new language needs every sentence"
            )
        tables[name] = table
    return tables


def _check_entry(where: str, key: str, value: Any) -> None:
    if key in WORDS:
        if not isinstance(value, list) or not all(
            isinstance(word, str) and word.strip(" *") for word in value
        ):
            raise SettingsError(f"{where}: expected a list of words, found {value!r}")
        return
    if key not in _PLACES:
        near = difflib.get_close_matches(key, [*_PLACES, *WORDS], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SettingsError(f"{where}: unknown entry{hint}")
    if not isinstance(value, str) or not value.strip():
        raise SettingsError(f"{where}: expected a text, found {value!r}")
    if len(value) > MAX_SENTENCE or any(is_invisible(char) or char == "\n" for char in value):
        raise SettingsError(
            f"{where}: expected one line of at most {MAX_SENTENCE} characters without control "
            f"characters, found {value!r}"
        )
    places = _PLACE.findall(value)
    if set(places) != _PLACES[key] or len(places) != len(_PLACES[key]):
        wanted = " and ".join(f"{{{place}}}" for place in sorted(_PLACES[key])) or "no {place}"
        raise SettingsError(f"{where}: expected {wanted}, each once, found {value!r}")
    if re.search(r"[{}]", _PLACE.sub("", value)):
        raise SettingsError(f"{where}: a brace without its other one in {value!r}")
