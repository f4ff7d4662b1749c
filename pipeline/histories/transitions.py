"""What follows what in the night's histories, counted per distance: the `transitions` contract.

Pure `DataFrame -> DataFrame`. In: the `histories` contract. Out: for every pair of different items
that stand at most a window of events apart, how often, by distance. Consenting users only, and of
each only what comes before the held-out event: what the model may see.

Counts are whole numbers, so two runs give the same bytes; `pipeline.model.transitions` weighs them
by distance and gives the same prior as from histories in memory (a test compares the two). For
shops whose histories do not fit one machine's memory.

Scale: a user of n events makes at most n x window pairs, summed before the one shuffle.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import conform


def transitions(histories: DataFrame, *, window: int) -> DataFrame:
    """Count the pairs.

    Args:
        window: the farthest distance that is counted.
    """
    known = F.slice(
        "item_ids", F.lit(1), F.coalesce(F.col("holdout_index").cast("int"), F.size("item_ids"))
    )
    pairs = (
        histories.where("consent")
        .select(known.alias("known"))
        .where(F.size("known") > 1)
        .select(F.explode(_pairs_of("known", window)).alias("pair"))
        .select("pair.*")
        .where(F.col("item_id") != F.col("next_item_id"))
    )
    counted = pairs.groupBy("item_id", "next_item_id", "distance").agg(F.count(F.lit(1)).alias("n"))
    return conform(counted, load_contract("transitions"))


def _pairs_of(known: str, window: int) -> Column:
    """Every (earlier item, later item, distance) of a history of two or more events."""
    last = F.size(known) - 1

    def from_place(place: Column) -> Column:
        return F.transform(
            F.sequence(F.lit(1), F.least(F.lit(window), last - place)),
            lambda distance: F.struct(
                F.element_at(known, (place + 1).cast("int")).alias("item_id"),
                F.element_at(known, (place + distance + 1).cast("int")).alias("next_item_id"),
                distance.cast("int").alias("distance"),
            ),
        )

    return F.flatten(F.transform(F.sequence(F.lit(0), last - 1), from_place))
