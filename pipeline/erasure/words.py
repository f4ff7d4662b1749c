"""What only erased users said: phrases of items, sentences for other users, words of a vocabulary.

Phrases. `item_words` names no user, so a phrase of it stays only if others said it: another review
of the item praises it in these words, and two reviews of the language use them, as
`histories.item_words` asks. An aspect stays only while others praise it more than they blame it.
Counts are lowered to what the remaining reviews give. Scores are not made anew: what stays keeps
its order.

Sentences. A reason that the model wrote for others goes where it says a phrase that has gone from
its item's words, or is a sentence that stands in a text of an erased user and in nobody else's.

Words of a vocabulary. A token of four letters or more (two in scripts without spaces) that stands
in texts of erased users and nowhere else, not in a review, a search or an item's title.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrow_columns import compute as pc
from pipeline.datasets import CATALOGUE, CLEANED_EVENTS, CLEANED_ITEMS, CLEANED_REVIEWS
from pipeline.encryption.parquet_files import open_parquet
from pipeline.erasure.wanted import Wanted
from pipeline.lake import Lake
from pipeline.language_tag import primary_language
from pipeline.model.phrase import is_unspaced, stands_in

MIN_REVIEWS = 2  # of `histories.item_words`; a test holds them equal
MODEL = "model"

Pair = tuple[str, str]  # item, primary language
Said = tuple[str, str, str]  # language, item, phrase

_PHRASE_COLUMNS = ["user_id", "review_id", "item_id", "language", "aspect", "phrase", "polarity"]
# Where a text of somebody who stays may say the same.
_REMAINING = {
    CLEANED_REVIEWS: ("title", "text"),
    CLEANED_EVENTS: ("query",),
    CLEANED_ITEMS: ("title", "brand", "category"),
    CATALOGUE: ("title", "brand", "category"),
}
_ENDS = ".!?…。！？ "
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass
class Phrases:
    """What erased users said of which item, and who else said it by when."""

    said: set[Said] = field(default_factory=set)
    aspects: set[Said] = field(default_factory=set)
    pairs: set[tuple[str, str]] = field(default_factory=set)  # language, item
    phrases: set[tuple[str, str]] = field(default_factory=set)  # language, phrase
    # By delivery day: reviews of others, by what they say.
    others: dict[dt.date, dict[tuple[str, ...], set[str]]] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether no erased user said anything of an item."""
        return not self.said

    def add(self, file: Path, wanted: Wanted) -> None:
        """Take in a file of `review_phrases` that holds an erased user."""
        for row in _read(file, _PHRASE_COLUMNS).filter(_theirs(file, wanted)).to_pylist():
            language, item = row["language"], row["item_id"]
            self.said.add((language, item, row["phrase"]))
            self.aspects.add((language, item, row["aspect"]))
            self.pairs.add((language, item))
            self.phrases.add((language, row["phrase"]))

    def count_others(self, date: dt.date, file: Path, wanted: Wanted) -> None:
        """Take in what others said of the same in one delivery."""
        phrases = pa.array(sorted({phrase for _, phrase in self.phrases}), pa.string())
        items = pa.array(sorted({item for _, item in self.pairs}), pa.string())
        rows = _read(file, _PHRASE_COLUMNS)
        related = pc.or_(
            pc.is_in(rows["phrase"], value_set=phrases), pc.is_in(rows["item_id"], value_set=items)
        )
        rows = rows.filter(pc.and_(related, pc.invert(_theirs(file, wanted))))
        counted = self.others.setdefault(date, defaultdict(set))
        for row in rows.to_pylist():
            language, item, review = row["language"], row["item_id"], row["review_id"]
            if row["polarity"] > 0:
                counted["phrase", language, row["phrase"]].add(review)
                counted["item", language, item, row["phrase"]].add(review)
            if row["polarity"]:
                verdict = "praised" if row["polarity"] > 0 else "blamed"
                counted[verdict, language, item, row["aspect"]].add(review)
            counted["reviews", language, item].add(review)

    def as_of(self, night: dt.date) -> Support:
        """What others had said by a night."""
        return Support(self, [of for day, of in sorted(self.others.items()) if day <= night])


@dataclass(frozen=True)
class Support:
    """What others had said by a night, of what erased users said too.

    Reviews of which the phrases have expired do not count, so more may go than only they said.
    """

    phrases: Phrases
    others: list[dict[tuple[str, ...], set[str]]]

    def reviews(self, *what: str) -> int:
        """Reviews of others that say it."""
        return sum(len(of.get(what, ())) for of in self.others)

    def row(self, row: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
        """A row of `item_words` without what only erased users said, and the phrases that went.

        None where nothing is left of it.
        """
        language, item = row["language"], row["item_id"]
        if (language, item) not in self.phrases.pairs and not any(
            (language, phrase) in self.phrases.phrases for phrase in row["words"]
        ):
            return dict(row), []
        kept_words, kept_aspects, gone = [], [], []
        aspects: list[Any] = row["aspects"] or [None] * len(row["words"])
        for phrase, aspect in zip(row["words"], aspects, strict=True):
            counted = self._counted(language, item, aspect)
            if self._stays(language, item, phrase) and (counted is None or _is_praised(counted)):
                kept_words.append(phrase)
                kept_aspects += [] if counted is None else [counted]
            else:
                gone.append(phrase)
        n_reviews = row["n_reviews"]
        if (language, item) in self.phrases.pairs:
            n_reviews = min(n_reviews, self.reviews("reviews", language, item))
        if not kept_words or not n_reviews:
            return None, list(row["words"])
        made = {**row, "words": kept_words, "aspects": kept_aspects, "n_reviews": n_reviews}
        return made, gone

    def _stays(self, language: str, item: str, phrase: str) -> bool:
        if (language, item, phrase) in self.phrases.said and not self.reviews(
            "item", language, item, phrase
        ):
            return False
        if (language, phrase) not in self.phrases.phrases:
            return True
        return self.reviews("phrase", language, phrase) >= MIN_REVIEWS

    def _counted(
        self, language: str, item: str, aspect: Mapping[str, Any] | None
    ) -> dict[str, Any] | None:
        if aspect is None:
            return None
        counted = dict(aspect)
        if (language, item, aspect["aspect"]) in self.phrases.aspects:
            for verdict in ("praised", "blamed"):
                others = self.reviews(verdict, language, item, aspect["aspect"])
                counted[verdict] = min(aspect[verdict], others)
        return counted


def _is_praised(aspect: Mapping[str, Any]) -> bool:
    return bool(aspect["praised"] > aspect["blamed"])


def without_phrases(words: pa.Table, support: Support) -> tuple[pa.Table, dict[Pair, set[str]]]:
    """Rows of `item_words` as `Support.row` makes them, and the phrases that went, by item."""
    rows, gone = [], {}
    for row in words.to_pylist():
        made, phrases = support.row(row)
        if made is not None:
            rows.append(made)
        if phrases:
            gone[row["item_id"], row["language"]] = set(phrases)
    return pa.Table.from_pylist(rows, schema=words.schema), gone


def without_sentences(
    lists: pa.Table, gone: Mapping[Pair, Collection[str]], theirs: Collection[str]
) -> tuple[pa.Table, set[str]]:
    """Lists whose reasons say nothing that only erased users said, and the sentences that went."""
    written = pc.fill_null(pc.equal(lists["reason_method"], MODEL), False)
    phrases_that_go = {phrase for phrases in gone.values() for phrase in phrases}
    # One sentence is shown to many: few are looked at, and then few rows.
    doubtful = [
        text
        for text in lists["reason"].filter(written).unique().to_pylist()
        if text is not None
        and (text in theirs or any(stands_in(phrase, text) for phrase in phrases_that_go))
    ]
    may_go = pc.and_(
        written, pc.is_in(lists["reason"], value_set=pa.array(doubtful, pa.string()))
    ).to_numpy()
    went: set[str] = set()
    goes = np.zeros(lists.num_rows, dtype=np.bool_)
    for row in np.flatnonzero(may_go):
        text = lists["reason"][int(row)].as_py()
        first = lists["items"][int(row)].as_py()[:1]
        pair = (first[0]["item_id"] if first else "", _language_of(lists, int(row)))
        if text in theirs or any(stands_in(phrase, text) for phrase in gone.get(pair, ())):
            went.add(text)
            goes[row] = True
    if not went:
        return lists, went
    for name in ("reason", "reason_method"):
        place = lists.schema.get_field_index(name)
        field_ = lists.schema.field(place)
        kept = pc.if_else(pa.array(goes), pa.scalar(None, field_.type), lists[name])
        lists = lists.set_column(place, field_, kept)
    return lists, went


def _language_of(lists: pa.Table, row: int) -> str:
    return primary_language(lists["language"][row].as_py())


def model_sentences(file: Path) -> set[str]:
    """The sentences that a model wrote into a file of lists."""
    rows = _read(file, ["reason", "reason_method"])
    written = rows.filter(pc.equal(rows["reason_method"], MODEL))["reason"]
    return {text for text in written.unique().to_pylist() if text}


def texts_of(file: Path, wanted: Wanted, columns: Iterable[str]) -> set[str]:
    """What erased users wrote, in some columns of a file."""
    with open_parquet(file) as table:
        names = [name for name in columns if name in table.schema_arrow.names]
        rows = table.read(columns=["user_id", *names])
    theirs = rows.filter(pc.is_in(rows["user_id"], value_set=wanted.values))
    found: set[Any] = set()
    for name in names:
        for value in theirs[name].to_pylist():
            found.update(value if isinstance(value, list) else [value])
    return {text for text in found if text}


def words_that_tell(tokens: Iterable[str]) -> set[str]:
    """The tokens that are long enough to be somebody's word."""
    return {
        token
        for token in (token.strip().casefold() for token in tokens)
        if _LETTERS.fullmatch(token) and len(token) >= (2 if is_unspaced(token) else 4)
    }


def only_theirs(
    candidates: Collection[str], texts: Collection[str], lake: Lake, wanted: Wanted
) -> set[str]:
    """Which words and sentences stand in texts of erased users, and in no other text of the lake.

    Args:
        candidates: as they are written; case does not count.
        texts: of the erased users.
        lake: whose other texts and titles are read, as far as they are needed.
        wanted: the erased users.
    """
    theirs = "\n".join(texts).casefold()
    plain = {candidate: candidate.casefold().strip(_ENDS) for candidate in candidates}
    left = {candidate: word for candidate, word in plain.items() if word and word in theirs}
    for others in _texts_of_others(lake, wanted) if left else ():
        left = {candidate: word for candidate, word in left.items() if word not in others}
        if not left:
            break
    return set(left)


def _texts_of_others(lake: Lake, wanted: Wanted) -> Iterator[str]:
    """Texts and titles of everybody else, a file at a time, in lower case."""
    for dataset, columns in _REMAINING.items():
        for partition in lake.past_whole(dataset, dt.date.max):
            for file in partition.paths:
                with open_parquet(file) as table:
                    names = set(table.schema_arrow.names)
                    read = [name for name in (*columns, "user_id") if name in names]
                    rows = table.read(columns=read)
                if "user_id" in read:
                    theirs = pc.is_in(rows["user_id"], value_set=wanted.values)
                    rows = rows.filter(pc.invert(theirs))
                values = (rows[name].to_pylist() for name in read if name != "user_id")
                yield "\n".join(text for of in values for text in of if text).casefold()


def _theirs(file: Path, wanted: Wanted) -> Any:
    return pc.is_in(_read(file, ["user_id"])["user_id"], value_set=wanted.values)


def _read(file: Path, columns: list[str]) -> pa.Table:
    # Not read_table, which takes columns from names of directories too.
    with open_parquet(file) as table:
        return table.read(columns=columns)
