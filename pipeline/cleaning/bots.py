"""Who is no shopper: three rules over what one user did on one day.

A view, a cart or a search is an act of browsing; acts of browsing are what is counted, and what is
removed (as `bot`, all of the day's). A purchase or a return stays whoever made it: it was paid for,
and a wholesaler's invoice of 500 lines at one instant is no visit.

  rate       more than `max_events` acts of browsing on the day
  breadth    more than `max_items` different items viewed on the day, and nothing put into a cart or
             bought
  no_dwell   at least `no_dwell_min_events` acts, of which the median time from one to the next is
             less than `no_dwell_seconds` (0: never). Asked only of a clock that tells seconds: where
             all times are whole minutes or days, nobody can be seen to dwell

Gives up: a scraper that spreads over many users, or waits like a person between two pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.cleaning.tagging import EVIDENCE, FATE, OUT, REASON, REMOVED, evidence

BROWSING = ("view", "cart", "search")
TAKING = ("cart", "purchase")


@dataclass(frozen=True)
class BotLimits:
    """What a shopper's day does not exceed; see the settings `cleaning.bot_…`."""

    max_events: int
    max_items: int
    no_dwell_min_events: int
    no_dwell_seconds: float


def without_bots(frame: DataFrame, limits: BotLimits, user_day: Sequence[str]) -> DataFrame:
    """The same rows and columns; bots' acts of browsing are removed, with what was seen of the day.

    Rows with another fate than `out` do not count.

    Args:
        frame: cleaned events with `tagging.TAGS`.
        limits: the thresholds.
        user_day: the columns that the rows of a day share that is judged as one.
    """
    kind, is_out = F.col("event_type"), F.col(FATE) == OUT
    act = is_out & kind.isin(*BROWSING)
    # All of it in one order, which is that of the files: of a day as a whole the order says nothing.
    in_time = Window.partitionBy(*user_day).orderBy("event_time", "event_id")
    before = in_time.rowsBetween(Window.unboundedPreceding, -1)
    day = in_time.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    micros = F.unix_micros("event_time")
    is_view = act & (kind == "view")
    since = micros - F.last(F.when(act, micros), ignorenulls=True).over(before)
    counted = frame.withColumns(
        {
            "__gap": F.when(act, since / 1e6),
            "__acts": F.count_if(act).over(day),
            "__views": F.count_if(is_view).over(day),
            "__taken": F.count_if(is_out & kind.isin(*TAKING)).over(day),
            "__seconds": F.count_if(act & (F.pmod(micros, F.lit(60_000_000)) != 0)).over(day),
        }
    )
    # Sets and medians are made only of days with many acts: few, and these are the costly ones.
    suspect = F.array_size(_rules(limits, F.col("__views"), F.lit(True))) > 0
    whole = Window.partitionBy(*user_day)  # a median takes no order
    hasty = F.count_if(F.col("__gap") < limits.no_dwell_seconds).over(whole)
    seen = counted.withColumn("__suspect", suspect).withColumns(
        {
            "__hasty": 2 * hasty > F.col("__acts") - 1,
            "__items": F.size(
                F.collect_set(F.when(F.col("__suspect") & is_view, F.col("item_id"))).over(whole)
            ),
            "__median": F.median(F.when(F.col("__suspect"), F.col("__gap"))).over(whole),
        }
    )
    seen = seen.withColumn("__broken", _rules(limits, F.col("__items"), F.col("__hasty")))
    is_bot = act & (F.size("__broken") > 0)
    judged = {
        FATE: F.when(is_bot, F.lit(REMOVED)).otherwise(F.col(FATE)),
        REASON: F.when(is_bot, F.lit("bot")).otherwise(F.col(REASON)),
        EVIDENCE: F.when(
            is_bot,
            evidence(
                bot_rules=F.col("__broken"),
                n_events=F.col("__acts"),
                n_items=F.col("__items"),
                median_gap_seconds=F.col("__median"),
            ),
        ).otherwise(F.col(EVIDENCE)),
    }
    return seen.select(*(judged.get(name, F.col(name)).alias(name) for name in frame.columns))


def _rules(limits: BotLimits, items: Column, hasty: Column) -> Column:
    """The names of the rules that a day breaks.

    Args:
        limits: the thresholds.
        items: how many different items were viewed, or a number that is not smaller.
        hasty: whether more than half of the gaps are short, which is the same as a short median
            without sorting them; or true, where that is not counted yet.
    """
    acts = F.col("__acts")
    no_dwell = (acts >= limits.no_dwell_min_events) & (F.col("__seconds") > 0) & hasty
    return F.array_compact(
        F.array(
            F.when(acts > limits.max_events, F.lit("rate")),
            F.when((items > limits.max_items) & (F.col("__taken") == 0), F.lit("breadth")),
            F.when(no_dwell, F.lit("no_dwell")),
        )
    )
