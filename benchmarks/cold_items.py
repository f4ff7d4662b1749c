"""Items that nobody has met and sentences that nobody has typed: does the model find them?

A shop is simulated. One item in ten is taken out of everything but the catalogue, one query in five
out of every history; the model is fine-tuned on the first days by the night's own code. Then, on
the days after: for whoever bought a held-out item, its rank after what they had done before; for
every held-out query that led to an item, that item's rank for the query alone. Items are ranked as
lists are, with the prior; queries by the model alone, as answers are. Full ranking over what is
sold; Recall@10 beside random and popularity. Among held-out items only, too: where a list of all
items has no place for what is new, this shows whether the model tells new ones apart.

    python -m benchmarks.cold_items --users 600 --items 300 --days 40

takes about two minutes of processor. A held-out item counts as first seen on the night, as an item
that arrived that day would. Prints a line a figure and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import bisect
import dataclasses
import datetime as dt
import hashlib
import json
import logging
import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pa_csv

from benchmarks.history_lake import catalogue_row, history_row, write_dataset
from pipeline.generation.query_answer import sentence_scores
from pipeline.lake import Lake, Run
from pipeline.language_tag import primary_language
from pipeline.model.checkpoint import Checkpoint
from pipeline.model.next_item import next_item_logits
from pipeline.model.prompt import history_prompt
from pipeline.ranking.bootstrap import Interval, mean_intervals
from pipeline.ranking.metrics import recalls, target_ranks
from pipeline.settings import Settings, load_settings
from pipeline.simulator.shop import simulate_shop
from pipeline.training.fine_tune import fine_tune

K = 10
COLD_ITEMS, HELD_QUERIES = 10, 5  # one in so many
TRAINED_SHARE = 0.75  # of the days
SAME_NEED = dt.timedelta(minutes=30)
KINDS = {"add_to_cart": "cart"}


@dataclass
class Past:
    """One shopper's events, oldest first."""

    language: str | None = None
    events: list[tuple[dt.datetime, str, str]] = field(default_factory=list)  # time, type, item
    queries: list[tuple[dt.datetime, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Shop:
    """What was simulated, and what of it is held out."""

    pasts: dict[str, Past]
    items: dict[str, dict[str, Any]]
    end_of_training: dt.datetime

    def is_cold(self, item_id: str) -> bool:
        """Whether nobody in training ever met it."""
        return _one_in(COLD_ITEMS, f"item {item_id}")

    def is_held_query(self, text: str) -> bool:
        """Whether nobody in training ever typed it."""
        return _one_in(HELD_QUERIES, f"query {text}")


def _one_in(n: int, key: str) -> bool:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % n == 0


def read_shop(raw: Path, days: int) -> Shop:
    """The simulator's files, without the dirt that cleaning is for."""
    pasts: dict[str, Past] = defaultdict(Past)
    items: dict[str, dict[str, Any]] = {}
    deliveries = sorted(raw.glob("date=*"))
    for delivery in deliveries:
        for row in pa_csv.read_csv(delivery / "items.csv").to_pylist():
            items[row["sku"]] = row
        for row in pa_csv.read_csv(delivery / "users.csv").to_pylist():
            pasts[row["user"]].language = row["lang"]
        with (delivery / "events.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                _take(json.loads(line), pasts)
    for past in pasts.values():
        past.events.sort()
        past.queries.sort()
    first = dt.date.fromisoformat(deliveries[0].name.removeprefix("date="))
    end = first + dt.timedelta(days=round(days * TRAINED_SHARE))
    return Shop(dict(pasts), items, dt.datetime.combine(end, dt.time(), dt.UTC))


def _take(event: dict[str, Any], pasts: dict[str, Past]) -> None:
    time = dt.datetime.fromisoformat(event["ts"]).astimezone(dt.UTC)
    past = pasts[event["user"]]
    if event["type"] == "search":
        past.queries.append((time, event["query"]))
    else:
        past.events.append((time, KINDS.get(event["type"], event["type"]), event["item"]))


def train(shop: Shop, home: Path, settings: Settings) -> Checkpoint:
    """The night's own fine-tuning on what is not held out."""
    lake = Lake(home / "lake")
    run = Run(shop.end_of_training.date() - dt.timedelta(days=1), "cold")
    settings = dataclasses.replace(
        settings,
        paths=dataclasses.replace(settings.paths, lake=str(lake.root)),
        reasons=dataclasses.replace(settings.reasons, enabled=False),
    )
    histories = [row for user, past in shop.pasts.items() for row in _history(shop, user, past)]
    write_dataset(lake, "histories", run, histories)
    write_dataset(
        lake, "catalogue", run, [catalogue_row(item, run.run_date) for item in shop.items.values()]
    )
    write_dataset(lake, "item_words", run, [])
    return fine_tune(lake, run, settings).checkpoint


def _history(shop: Shop, user: str, past: Past) -> list[dict[str, Any]]:
    events = [e for e in past.events if e[0] < shop.end_of_training and not shop.is_cold(e[2])][
        -50:
    ]
    queries = [
        q for q in past.queries if q[0] < shop.end_of_training and not shop.is_held_query(q[1])
    ]
    if not events:
        return []
    kinds = [kind for _, kind, _ in events]
    bought = [n for n, kind in enumerate(kinds) if kind == "purchase" and n > 0]
    # One shopper in ten decides when to stop; nobody is tested on what is held out here.
    measured = bool(bought) and _one_in(10, f"user {user}")
    return [
        history_row(
            hashlib.sha256(user.encode()).hexdigest()[:32],
            events,
            queries=queries,
            language=past.language,
            held_out=bought[-1] if measured else None,
            split="validation" if measured else None,
        )
    ]


@dataclass
class Cases:
    """Scores of every case over all items, and the item that was right."""

    scores: list[np.ndarray] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)

    def recall(self, allowed_I: np.ndarray, seed: int) -> Interval:
        """Recall@10 with its interval."""
        if not self.targets:
            return Interval(0.0, 0.0, 0.0)
        scores_BI = np.where(allowed_I[None, :], np.stack(self.scores), -np.inf)
        rank_B = target_ranks(scores_BI, np.array(self.targets))
        hit_BK = rank_B[:, None] == np.arange(1, K + 1)[None, :]
        values = recalls(hit_BK, np.ones_like(rank_B))
        return mean_intervals(values[:, None], seed)[0]


def cold_cases(shop: Shop, model: Checkpoint) -> tuple[Cases, Cases]:
    """(by the model, by popularity) for the first held-out item that each shopper bought."""
    index = model.vocabulary.item_index
    popularity_I = np.zeros(len(index))
    for past in shop.pasts.values():
        for time, kind, item in past.events:
            if time < shop.end_of_training and kind == "purchase" and not shop.is_cold(item):
                popularity_I[index[item]] += 1
    ours, theirs = Cases(), Cases()
    for past in shop.pasts.values():
        for place, (time, kind, item) in enumerate(past.events):
            if time >= shop.end_of_training and kind == "purchase" and shop.is_cold(item):
                before = [e for e in past.events[:place] if not shop.is_cold(e[2])]
                if not before:
                    break
                asked = [q for t, q in past.queries if t < time and not shop.is_held_query(q)]
                prompt = history_prompt(
                    model.vocabulary,
                    [i for _, _, i in before],
                    [k for _, k, _ in before],
                    asked,
                    past.language,
                    50,
                    max_tokens=model.model.config.n_positions,
                )
                logits = next_item_logits(model.model, model.vocabulary, [prompt])[0].numpy()
                if model.prior is not None:  # as lists are made
                    met = [index[i] for _, _, i in before[-50:]]
                    logits = logits + model.prior.scores([met]).toarray()[0]
                owned = {i for _, k, i in before if k == "purchase"}
                logits[[index[i] for i in owned]] = -np.inf
                ours.scores.append(logits)
                theirs.scores.append(np.where(np.isfinite(logits), popularity_I, -np.inf))
                ours.targets.append(index[item])
                theirs.targets.append(index[item])
                break
    return ours, theirs


def query_cases(shop: Shop, model: Checkpoint) -> dict[str, Cases]:
    """Held-out queries by language, with the item they led to."""
    index = model.vocabulary.item_index
    found: dict[str, Cases] = defaultdict(Cases)
    scores: dict[tuple[str, str], np.ndarray] = {}
    for past in shop.pasts.values():
        language = primary_language(past.language)
        times = [time for time, _, _ in past.events]
        for typed, text in past.queries:
            place = bisect.bisect_left(times, typed)
            if not shop.is_held_query(text) or place >= len(times):
                continue
            if times[place] - typed <= SAME_NEED and not shop.is_cold(past.events[place][2]):
                key = (text, language)
                if key not in scores:
                    scores[key] = sentence_scores(model, text, language)
                found[language].scores.append(scores[key])
                found[language].targets.append(index[past.events[place][2]])
    return found


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cold_items",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--users", type=int, default=600)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--days", type=int, default=40)
    parser.add_argument("--seed", type=int, default=11)
    arguments = parser.parse_args()
    settings = load_settings(None, os.environ)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw"
        simulate_shop(
            raw,
            users=arguments.users,
            items=arguments.items,
            days=arguments.days,
            seed=arguments.seed,
            dirt=0.0,
        )
        shop = read_shop(raw, arguments.days)
        model = train(shop, Path(scratch), settings)
    item_ids = model.vocabulary.item_ids
    everything = np.ones(len(item_ids), dtype=np.bool_)
    cold = np.array([shop.is_cold(item) for item in item_ids])
    print(
        f"{len(item_ids)} items, {cold.sum()} of them held out; training ends {shop.end_of_training:%F}"
    )
    result: dict[str, Any] = {"arguments": vars(arguments), "cold_items": {}, "queries": {}}
    ours, theirs = cold_cases(shop, model)
    for name, allowed in (("all items", everything), ("held-out items only", cold)):
        found, popular = ours.recall(allowed, 1), theirs.recall(allowed, 1)
        random = K / int(allowed.sum())
        print(f"cold items among {name}, {len(ours.targets):,} cases: model {found}")
        print(
            f"  popularity {popular}; random {random:.4f}; model / random {found.mean / random:.1f}"
        )
        result["cold_items"][name] = {
            "cases": len(ours.targets),
            "model": found.mean,
            "popularity": popular.mean,
            "random": random,
        }
    for language, cases in sorted(query_cases(shop, model).items()):
        found, random = cases.recall(everything, 1), K / len(cold)
        print(
            f"held-out queries, {language}, {len(cases.targets):,} cases: {found}; random {random:.4f}"
        )
        result["queries"][language] = {"cases": len(cases.targets), "model": found.mean}
    times = os.times()
    result["processor_seconds"] = round(times.user + times.system)
    print(f"{result['processor_seconds']} s of processor in all")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
