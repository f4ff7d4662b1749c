"""What an erasure has to do: everything is looked at, nothing is changed.

One pass over all tables finds the rows of all users at once; a second, over the few datasets that
quote users without naming them, finds what only erased users said. What cannot be read is a fault:
nobody can say that it holds nobody.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from pipeline import durable
from pipeline.datasets import (
    ACTS,
    CLEANED_EVENTS,
    CLEANED_REVIEWS,
    GENERATED,
    HISTORIES,
    ITEM_WORDS,
    MODELS,
    QUARANTINE,
    RECOMMENDATIONS,
    REMOVED_EVENTS,
    REVIEW_PHRASES,
)
from pipeline.encryption.parquet_files import open_parquet
from pipeline.erased import ERASURES
from pipeline.erasure.directories import (
    DATE,
    RUN,
    WITHOUT_MANIFESTS,
    RunDirectory,
    files_below,
    may_say_ids,
    run_directories,
)
from pipeline.erasure.models import words_of_model
from pipeline.erasure.tables import SUFFIX, Hits, rows_with_users
from pipeline.erasure.texts import without_users
from pipeline.erasure.wanted import Wanted
from pipeline.erasure.words import (
    Pair,
    Phrases,
    Support,
    model_sentences,
    only_theirs,
    texts_of,
    without_phrases,
    without_sentences,
)
from pipeline.intact import FaultError, read_sealed_json
from pipeline.lake import MANIFEST, Lake
from pipeline.retention.expired import expired_until

WORK = "work"
LOCKS = "locks"  # of processes that wait for us
LISTS = (RECOMMENDATIONS, GENERATED)
_LISTS_OF = "lists_of"  # of lists that stand in: the night whose they are
# The columns that users fill with words of their own.
_THEIR_WORDS = {
    CLEANED_REVIEWS: ("title", "text"),
    CLEANED_EVENTS: ("query",),
    REMOVED_EVENTS: ("query",),
    ACTS: ("query",),
    HISTORIES: ("queries",),
}
_TRAINED_ON = (HISTORIES, CLEANED_REVIEWS, CLEANED_EVENTS)

Progress = Callable[[str], None]


@dataclass
class Searched:
    """What of a dataset was looked at."""

    directories: int = 0
    files: int = 0
    bytes: int = 0


@dataclass
class Plan:
    """What is to be done, in the order in which it is done.

    Args:
        drop: models that go.
        learned: models that stay and are not gone on from.
        rows: tables with rows of users, by directory and file.
        lists: tables with sentences that go, and the nights whose words these are made of.
        words: tables of words of items that only erased users said.
        texts: other files that hold a user, or a sentence that goes.
        unclosed: directories that no manifest closes and that hold a user.
        scratch: what stages keep to themselves, and what was being removed when something was cut
            off; it goes, whatever is in it.
    """

    searched: dict[str, Searched] = field(default_factory=lambda: defaultdict(Searched))
    found: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    drop: list[RunDirectory] = field(default_factory=list)
    learned: list[RunDirectory] = field(default_factory=list)
    rows: dict[RunDirectory, dict[Path, Hits]] = field(default_factory=lambda: defaultdict(dict))
    lists: dict[RunDirectory, set[Path]] = field(default_factory=lambda: defaultdict(set))
    words: dict[RunDirectory, set[Path]] = field(default_factory=lambda: defaultdict(set))
    texts: list[Path] = field(default_factory=list)
    texts_in: dict[RunDirectory, set[Path]] = field(default_factory=lambda: defaultdict(set))
    unclosed: list[RunDirectory] = field(default_factory=list)
    scratch: list[Path] = field(default_factory=list)
    sentences: set[str] = field(default_factory=set)
    theirs: set[str] = field(default_factory=set)
    phrases: Phrases = field(default_factory=Phrases)
    gone: dict[dt.date, dict[Pair, set[str]]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def directories(self) -> list[RunDirectory]:
        """The closed directories that are written again, in order."""
        held = {*self.rows, *self.lists, *self.words, *self.texts_in} - {*self.drop}
        return sorted(held, key=lambda of: (_rank(of.dataset), of.dataset, of.date, of.path))

    @property
    def is_clean(self) -> bool:
        """Whether nothing holds anybody (any more)."""
        return not (self.directories or self.drop or self.texts or self.unclosed or self.faults)

    def rows_by_dataset(self) -> dict[str, int]:
        """How many rows of users there are."""
        counted: Counter[str] = Counter()
        for directory, files in self.rows.items():
            counted[directory.dataset] += sum(hits.rows for hits in files.values())
        return dict(sorted(counted.items()))

    def support(self, night: dt.date) -> Support:
        """What others had said by a night."""
        return self.phrases.as_of(night)


def _rank(dataset: str) -> int:
    """What is derived comes before what it is derived from, so that a kill loses no connection.

    Lists quote the words of items, and these the phrases of reviews.
    """
    order = (RECOMMENDATIONS, GENERATED, ITEM_WORDS)
    if dataset in order:
        return 1 + order.index(dataset)
    return 9 if dataset == REVIEW_PHRASES else 0 if dataset not in _THEIR_WORDS else 5


def make_plan(
    lake: Lake, wanted: Wanted, logs: Collection[Path] = (), progress: Progress = lambda _: None
) -> Plan:
    """Look at everything.

    Args:
        lake: all below it but what erasures themselves have written.
        wanted: whom to look for.
        logs: further directories of texts.
        progress: told each directory before it is read.
    """
    plan = Plan()
    directories = list(run_directories(lake))
    texts = _look_at_tables(plan, directories, wanted, progress)
    _look_at_words(plan, lake, directories, wanted, texts)
    _look_at_models(plan, lake, directories)
    _look_at_texts(plan, lake, directories, wanted)
    _look_at_others(plan, lake, _others(lake, logs), wanted, progress)
    work = lake.root / WORK
    scratch = [path for path in sorted(work.glob("*/")) if path.name != LOCKS]
    plan.scratch = [*scratch, *lake.cut_off_removals()]
    return plan


def _look_at_tables(
    plan: Plan, directories: list[RunDirectory], wanted: Wanted, progress: Progress
) -> set[str]:
    """Find rows of users; return what they wrote."""
    known: dict[tuple[int, int, bool], Hits] = {}  # a published file is a link to a generated one
    texts: set[str] = set()
    for directory in directories:
        progress(f"{directory.dataset} {directory.date}")
        searched = plan.searched[directory.dataset]
        searched.directories += 1
        for file in directory.files():
            if file.suffix != SUFFIX or directory.dataset in WITHOUT_MANIFESTS:
                continue
            ids = directory.dataset == QUARANTINE
            try:
                found = file.stat()
                searched.files, searched.bytes = searched.files + 1, searched.bytes + found.st_size
                key = (found.st_dev, found.st_ino, ids)
                if key not in known:
                    known[key] = rows_with_users(file, wanted, ids=ids)
                hits = known[key]
                if not hits.rows:
                    continue
                if directory.dataset == REVIEW_PHRASES:
                    plan.phrases.add(file, wanted)
                if directory.dataset in _THEIR_WORDS:
                    texts |= texts_of(file, wanted, _THEIR_WORDS[directory.dataset])
            except (pa.ArrowException, OSError, KeyError) as error:
                _unreadable(plan, directory, file, error)
                continue
            plan.found |= hits.users
            if directory.is_closed:
                plan.rows[directory][file] = hits
            elif directory not in plan.unclosed:
                plan.unclosed.append(directory)
    return texts


def _unreadable(plan: Plan, directory: RunDirectory, file: Path, error: Exception) -> None:
    """A file that nobody can look into; of a directory that is not closed it goes."""
    if directory.is_closed:
        reason = str(error).splitlines()[0]
        plan.faults.append(
            f"{file} cannot be read, so nobody can say whom it holds ({reason}): make it again, "
            "or remove its directory, and erase once more"
        )
    elif directory not in plan.unclosed:
        plan.unclosed.append(directory)


def _look_at_words(
    plan: Plan,
    lake: Lake,
    directories: list[RunDirectory],
    wanted: Wanted,
    texts: set[str],
) -> None:
    """Find what only they said: in words of items, in sentences, in vocabularies."""
    phrases = plan.phrases
    for part in lake.past_whole(REVIEW_PHRASES, dt.date.max) if not phrases.nothing else ():
        for file in part.paths:
            phrases.count_others(part.run_date, file, wanted)
    for directory in directories:
        if directory.dataset == ITEM_WORDS and directory.is_closed and not phrases.nothing:
            for file in _tables(directory):
                before = _whole(file)
                after, gone = without_phrases(before, plan.support(directory.date))
                plan.gone[directory.date] |= gone
                if not after.equals(before):
                    plan.words[directory].add(file)
    if not texts and not plan.gone:
        return
    lists = [of for of in directories if of.dataset in LISTS and of.is_closed]
    models = {of: words_of_model(of.path) for of in directories if of.dataset == MODELS}
    sentences = set[str]().union(
        *(model_sentences(file) for directory in lists for file in _tables(directory))
    )
    plan.theirs = only_theirs(sentences.union(*models.values()), texts, lake, wanted)
    plan.drop = [model for model, words in models.items() if words & plan.theirs]
    for directory in lists:
        for file in _tables(directory):
            went = without_sentences(_whole(file), gone_of(plan, directory), plan.theirs)[1]
            plan.sentences |= went
            if went:
                plan.lists[directory].add(file)


def gone_of(plan: Plan, lists: RunDirectory) -> dict[Pair, set[str]]:
    """The phrases that go from the words that a directory of lists was made of, by item."""
    return {pair: gone for night in nights_of(lists) for pair, gone in plan.gone[night].items()}


def nights_of(lists: RunDirectory) -> list[dt.date]:
    """The night of some lists, and the night before whose lists they are."""
    try:
        stood_in = read_sealed_json(lists.path / MANIFEST).get(_LISTS_OF)
    except FaultError:
        stood_in = None
    return [lists.date, *([dt.date.fromisoformat(stood_in)] if stood_in else [])]


def _look_at_models(plan: Plan, lake: Lake, directories: list[RunDirectory]) -> None:
    """Models since the first night that knew an erased user may have learned from them.

    Where what older models learned from has expired, nobody can say since when; all may have.
    """
    models = [of for of in directories if of.dataset == MODELS and of not in plan.drop]
    knew = [of.date for of in plan.rows if of.dataset in _TRAINED_ON]
    first = min((of.date for of in directories if of.dataset == HISTORIES), default=dt.date.max)
    if plan.found and (expired_until(lake) or any(of.date < first for of in models)):
        plan.learned = models
    else:
        plan.learned = [of for of in models if knew and of.date >= min(knew)]


def _look_at_texts(plan: Plan, lake: Lake, directories: list[RunDirectory], wanted: Wanted) -> None:
    """Files of directories that are no tables."""
    for directory in directories:
        if directory.dataset in WITHOUT_MANIFESTS or directory in plan.unclosed:
            continue
        for file in directory.files():
            if file.suffix == SUFFIX:
                continue
            if not _holds(plan, lake, file, directory.dataset, wanted):
                continue
            if directory.is_closed:
                plan.texts_in[directory].add(file)
            elif directory not in plan.unclosed:
                plan.unclosed.append(directory)


def _look_at_others(
    plan: Plan,
    lake: Lake,
    files: Iterator[tuple[Path, str]],
    wanted: Wanted,
    progress: Progress,
) -> None:
    """Files of no such directory."""
    for file, dataset in files:
        progress(str(file.parent))
        if _holds(plan, lake, file, dataset, wanted):
            plan.texts.append(file)


def _holds(plan: Plan, lake: Lake, file: Path, dataset: str, wanted: Wanted) -> bool:
    """Whether a file holds a user, or a sentence that goes."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return False  # a log that was put away meanwhile
    except OSError as error:
        return _fault(plan, file, dataset, error)
    plan.searched[dataset].files += 1
    plan.searched[dataset].bytes += len(content)
    ids = may_say_ids(lake, file)
    try:
        changed = without_users(file.name, content, wanted, plan.sentences, ids_in_clear=ids)
    except pa.ArrowException as error:  # a table
        return _fault(plan, file, dataset, error)
    return changed is not None


def _fault(plan: Plan, file: Path, dataset: str, error: Exception) -> bool:
    """Note a file that nobody can look into; it is left as it is."""
    plan.faults.append(f"{file} of {dataset} cannot be read: {str(error).splitlines()[0]}")
    return False


def _others(lake: Lake, logs: Collection[Path]) -> Iterator[tuple[Path, str]]:
    """Every file of the lake that is in no run directory of a dataset, and the logs."""
    for file in files_below(lake.root):
        below = file.relative_to(lake.root).parts
        if below[0] == ERASURES or (below[0] == WORK and len(below) > 2):
            continue
        if any(name.startswith(durable.REMOVED) for name in below[:-1]):
            continue  # it goes
        in_run = len(below) > 3 and below[1].startswith(DATE) and below[2].startswith(RUN)
        if below[0] in WITHOUT_MANIFESTS:
            yield file, below[0]
        elif not in_run:
            yield file, "the lake itself"
    for directory in logs:
        for file in files_below(directory):
            yield file, "logs"


def _tables(directory: RunDirectory) -> list[Path]:
    return [file for file in directory.files() if file.suffix == SUFFIX]


def _whole(file: Path) -> pa.Table:
    with open_parquet(file) as table:
        return table.read()
