"""The rows that are published, made from ranked lists: facts, and the words for the first item.

Titles, brands, categories and prices are the catalogue's; the reason is the model's sentence for
the pair of first item and language where one was accepted, else a template. A user without a
list gets no row.

Guarantees: the columns and types of `schemas/recommendations.v1.yaml`, in user order.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from pipeline.arrow_columns import Lists, column, compute, numbers
from pipeline.contracts.arrow import arrow_schema, check_table
from pipeline.contracts.contract import load_contract
from pipeline.datasets import RECOMMENDATIONS
from pipeline.engine.exclusions import Integers
from pipeline.generation.lists.candidates import FACTS, Candidates
from pipeline.generation.lists.list_batch import MODEL
from pipeline.generation.reasons.reason_writer import Pair
from pipeline.generation.reasons.templates import template_reason
from pipeline.generation.reasons.voice import Voice
from pipeline.language_tag import primary_language
from pipeline.model.list_methods import TEMPLATE


def recommendation_rows(
    ranked: pa.Table,
    candidates: Candidates,
    titles: Mapping[str, str],
    sentences: Mapping[Pair, str] | None,
    *,
    voice: Voice,
    model_version: str,
    k: int,
    valid_until: dt.date,
) -> pa.Table:
    """One shard's rows.

    Args:
        ranked: a table of `ranked_table.RANKED`.
        titles: of every item of the catalogue that has one.
        sentences: the model's accepted sentences; None writes no reasons at all.
        voice: the templates; a user whose language is not in it gets no reason.
        model_version: named by the rows of lists that the model made.
        k: the length of a list; what is ranked below are its spares.
        valid_until: the last day on which the lists are to be sent.
    """
    ranked = ranked.filter(compute.greater(compute.list_value_length(ranked.column("item_ids")), 0))
    items, spares = _items_and_spares(ranked, candidates, k)
    reasons = _reasons(ranked, titles, sentences, voice)
    by_model = compute.equal(ranked.column("method"), MODEL)
    contract = load_contract(RECOMMENDATIONS)
    schema = arrow_schema(contract)
    columns = {
        "user_id": ranked.column("user_id"),
        "items": items.cast(schema.field("items").type),
        "n_items": compute.list_value_length(items).cast(pa.int32()),
        "spares": spares.cast(schema.field("spares").type),
        "valid_until": pa.repeat(pa.scalar(valid_until, pa.date32()), ranked.num_rows),
        "method": ranked.column("method"),
        "fallback_reason": ranked.column("fallback_reason"),
        "rules": ranked.column("rules"),
        "reason": pa.array([text for text, _, _ in reasons], pa.string()),
        "reason_method": pa.array([method for _, method, _ in reasons], pa.string()),
        "language": pa.array([language for _, _, language in reasons], pa.string()),
        "model_version": compute.if_else(by_model, model_version, "none"),
        "last_event_time": ranked.column("last_event_time"),
    }
    return check_table(pa.table([columns[name] for name in schema.names], schema=schema), contract)


def _items_and_spares(ranked: pa.Table, candidates: Candidates, k: int) -> tuple[Lists, Lists]:
    """The lists with their facts, and what is ranked below them."""
    lists = column(ranked, "item_ids")
    lengths = numbers(compute.list_value_length(lists))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    facts = candidates.facts.take(candidates.places(lists.flatten()))
    ranks = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths) + 1
    entries = pa.StructArray.from_arrays(
        [
            pa.array(ranks, pa.int32()),
            *(column(facts, name) for name in FACTS),
            column(ranked, "scores").flatten(),
        ],
        names=["rank", *FACTS, "score"],
    )
    listed = np.minimum(lengths, k)
    return (
        _of_lengths(entries.filter(pa.array(ranks <= k)), listed),
        _of_lengths(entries.filter(pa.array(ranks > k)), lengths - listed),
    )


def _of_lengths(entries: pa.StructArray, lengths: Integers) -> Lists:
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return pa.ListArray.from_arrays(pa.array(starts, pa.int32()), entries)


def without_words(ranked: pa.Table, voice: Voice) -> Counter[str]:
    """Users of one shard who get a list and no words, by their primary language."""
    listed = ranked.filter(compute.greater(compute.list_value_length(ranked.column("item_ids")), 0))
    return Counter(
        primary_language(language)
        for language in listed.column("language").to_pylist()
        if voice.language(language) is None
    )


Reason = tuple[str | None, str | None, str | None]


def _reasons(
    ranked: pa.Table,
    titles: Mapping[str, str],
    sentences: Mapping[Pair, str] | None,
    voice: Voice,
) -> Sequence[Reason]:
    """Text, method and language of each row's reason."""
    if sentences is None:
        return [(None, None, None)] * ranked.num_rows
    reasons: list[Reason] = []
    firsts = compute.list_element(ranked.column("item_ids"), 0).to_pylist()
    others = (
        ranked.column(name).to_pylist() for name in ("language", "anchor_kind", "anchor_item_id")
    )
    for first, language, kind, anchor in zip(firsts, *others, strict=True):
        written_in = voice.language(language)
        if written_in is None:
            reasons.append((None, None, None))
            continue
        tag = written_in
        if primary_language(written_in) == primary_language(language):
            tag = (language or "").strip().replace("_", "-")
        sentence = sentences.get((first, written_in))
        if sentence is not None:
            reasons.append((sentence, MODEL, tag))
            continue
        text = template_reason(
            kind, voice.sentences[written_in], titles.get(first), titles.get(anchor or "")
        )
        reasons.append((text, TEMPLATE, written_in))
    return reasons
