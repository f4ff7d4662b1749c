"""A language's words, and how searches and sentences are composed of them.

Reads `lexicons/<code>.toml`, shipped in the package. A lexicon holds whole clauses per aspect
("the battery lasts two days") rather than nouns and adjectives, so that gender, case and word
order are right in every language without a grammar. Writes nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

LANGUAGES = ("en", "zh", "de", "es")
VERDICTS = ("bad", "mixed", "good")


@dataclass(frozen=True)
class CategoryWords:
    """A category's noun (for titles), what a sentence wants ("a new phone"), and its path."""

    noun: str
    wanted: str
    path: str


@dataclass(frozen=True)
class AspectWords:
    """An aspect's noun (for searches) and clauses that praise or blame it."""

    noun: str
    praise: tuple[str, ...]
    blame: tuple[str, ...]


@dataclass(frozen=True)
class Lexicon:
    """One language. Openers, closers and headlines are keyed by verdict: bad, mixed, good."""

    code: str
    word_space: str
    sentence_space: str
    full_stop: str
    and_: str
    but: str
    volume: str
    categories: Mapping[str, CategoryWords]
    aspects: Mapping[str, AspectWords]
    adjectives: tuple[str, ...]
    colours: tuple[str, ...]
    series: tuple[str, ...]
    short_searches: tuple[str, ...]
    long_searches: tuple[str, ...]
    openers: Mapping[str, tuple[str, ...]]
    closers: Mapping[str, tuple[str, ...]]
    headlines: Mapping[str, tuple[str, ...]]

    def noun(self, category: str) -> str:
        """The category's noun as it stands inside a sentence."""
        noun = self.categories[category].noun
        # German nouns keep their capital; "USB Hub" keeps its acronym.
        return noun if self.code == "de" or noun[:2].isupper() else noun.lower()

    def sentences(self, clauses: Sequence[str], praised: Sequence[bool]) -> str:
        """Clauses in pairs: like opinions joined by "and", unlike ones by "but"."""
        made = []
        for first in range(0, len(clauses), 2):
            text = clauses[first]
            if first + 1 < len(clauses):
                alike = praised[first] == praised[first + 1]
                text += (self.and_ if alike else self.but) + clauses[first + 1]
            made.append(text[:1].upper() + text[1:] + self.full_stop)
        return self.sentence_space.join(made)

    def searches(self, category: str, aspects: Sequence[str]) -> list[str]:
        """Every way to search for a category: a few words, or a whole sentence of need."""
        wanted = self.categories[category].wanted
        return sorted(
            {
                template.format(
                    noun=self.noun(category), wanted=wanted, aspect=self.aspects[aspect].noun
                )
                for template in (*self.short_searches, *self.long_searches)
                for aspect in aspects
            }
        )


@cache
def load_lexicon(code: str) -> Lexicon:
    """The shipped lexicon of a language, one of `LANGUAGES`."""
    file = resources.files("pipeline.simulator") / "lexicons" / f"{code}.toml"
    words = tomllib.loads(file.read_text(encoding="utf-8"))
    return Lexicon(
        code=words["code"],
        word_space=words["word_space"],
        sentence_space=words["sentence_space"],
        full_stop=words["full_stop"],
        and_=words["and"],
        but=words["but"],
        volume=words["volume"],
        categories={name: CategoryWords(**entry) for name, entry in words["categories"].items()},
        aspects={
            name: AspectWords(entry["noun"], tuple(entry["praise"]), tuple(entry["blame"]))
            for name, entry in words["aspects"].items()
        },
        adjectives=tuple(words["adjectives"]),
        colours=tuple(words["colours"]),
        series=tuple(words["series"]),
        short_searches=tuple(words["short_searches"]),
        long_searches=tuple(words["long_searches"]),
        openers=_by_verdict(words["openers"]),
        closers=_by_verdict(words["closers"]),
        headlines=_by_verdict(words["headlines"]),
    )


def _by_verdict(table: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {verdict: tuple(table[verdict]) for verdict in VERDICTS}
