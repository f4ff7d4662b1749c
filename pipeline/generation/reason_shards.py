"""The model's sentences of a night, in shards of (item, language) pairs: each pair is written once.

Reads the shards of ranked lists; writes shards of sentences beside them, so that an attempt goes on
from the sentences that are there. Once the deadline is past no more are written, and templates
take their place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pipeline.engine.ranker import DEADLINE
from pipeline.generation.reasons.reason_writer import Pair, pairs_of, write_reasons
from pipeline.generation.shard_maker import ShardMaker
from pipeline.progress import Progress

PAIRS_PER_SHARD = 4096

Sentences = Mapping[Pair, str]


def night_sentences(maker: ShardMaker) -> tuple[Sentences | None, dict[str, int]]:
    """The accepted sentences, and how many pairs have none for which fault.

    None where reasons are switched off; no sentence where there is no model.
    """
    if not maker.settings.reasons.enabled:
        return None, {}
    if maker.inputs.champion.checkpoint is None:
        return {}, {}
    found: set[Pair] = set()
    for name in maker.names:
        found |= pairs_of(maker.shards.read(name), maker.inputs.voice)
    pairs = sorted(found)
    progress = Progress("reasons", len(pairs))
    sentences: dict[Pair, str] = {}
    faults: Counter[str] = Counter()
    for number, start in enumerate(range(0, len(pairs), PAIRS_PER_SHARD)):
        name = f"reasons-{number:05d}"
        some = pairs[start : start + PAIRS_PER_SHARD]
        if maker.is_late() and maker.shards.counts(name) is None:
            faults[DEADLINE] += len(some)
            continue
        faults.update(_make_shard(maker, name, some, progress))
        sentences |= {
            (row["item_id"], row["language"]): row["sentence"]
            for row in maker.shards.read(name).to_pylist()
            if row["sentence"] is not None
        }
    return sentences, dict(sorted(faults.items()))


def _make_shard(
    maker: ShardMaker, name: str, pairs: list[Pair], progress: Progress
) -> dict[str, int]:
    """Make one shard of sentences if it is missing; return the counts of its faults."""
    counts = maker.shards.counts(name)
    if counts is not None:
        progress.skip(len(pairs))
        return counts
    settings, champion = maker.settings, maker.inputs.champion
    assert champion.checkpoint is not None
    table, faults = write_reasons(
        champion.checkpoint,
        pairs,
        maker.inputs.words,
        max_prompt_words=settings.reasons.max_prompt_words,
        max_new_tokens=settings.reasons.max_new_tokens,
        batch_rows=settings.generation.batch_users,
        precision=champion.precision,
        done=progress.add,
    )
    maker.shards.commit(name, table, faults)
    return faults
