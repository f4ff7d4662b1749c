"""Settings: one frozen object, read once at the edge of a process.

Reads, lowest first: the defaults below, a TOML file, environment variables named
`NIGHTCART_<SECTION>__<KEY>`. An unknown section or key is refused with the nearest known one.
Relative paths are relative to the TOML file (to the working directory without one).
`Settings.origin` remembers where every value came from. What a file and the environment say is
read by `settings_files`, what a value may be is in `settings_ranges`. Standard library only, so
that a DAG may import it.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.errors import SettingsError
from pipeline.settings_files import Given, coerce, from_environment, from_toml, refuse_unknown
from pipeline.settings_ranges import TRIGGER_KINDS, fault

# A base_model that starts so is a directory; any other is a name that a hub knows.
BASE_MODEL_IS_PATH = (".", "~", "/")


@dataclass(frozen=True)
class Shop:
    """Whose night it is."""

    name: str = "simulated shop"
    source: str = "simulator"  # a name in schemas/sources, or the path of a source YAML
    timezone: str = "UTC"
    currency: str = "EUR"


@dataclass(frozen=True)
class Paths:
    """Where the retailer's files are read and where the lake is written."""

    raw: str = "demo/raw"
    lake: str = "demo/lake"
    exports: str = ""  # files for mail tools, never inside the lake; empty: `exports` beside it
    # Of files that the shop overwrites, with raw ids, so never inside the lake; empty: beside it.
    snapshots: str = ""
    airflow: str = ".nightcart/airflow"  # AIRFLOW_HOME of `nightcart run`
    # Whether the account's group may read what is written; others never may.
    group_readable: bool = False


@dataclass(frozen=True)
class Spark:
    """The engine that cleans. `local[*]` is this machine."""

    master: str = "local[*]"
    driver_memory: str = "2g"
    shuffle_partitions: int = 8
    # Compile quickly instead of well, for small days (docs/adr/0033). Not under spark-submit.
    quick_start: bool = False
    jars: tuple[str, ...] = ()  # for tables of a source that Spark reads (docs/sources.md)


@dataclass(frozen=True)
class Cleaning:
    """Thresholds of the cleaning rules that a retailer may want to move."""

    first_day: str = ""  # ISO date; deliveries before it are left aside. Empty: none are
    late_horizon_days: int = 30
    # Of one user on one day; views, carts and searches are counted
    # (pipeline/cleaning/user_days/bots.py).
    bot_max_events_per_day: int = 300
    bot_max_items_per_day: int = 150  # different items viewed, with none put in a cart or bought
    bot_no_dwell_min_events: int = 30  # below so many nobody's haste is looked at
    bot_no_dwell_seconds: float = 2.0  # the median from one event to the next; 0: not looked at
    near_duplicate_seconds: float = 1.0  # 0: a repetition counts as often as it comes
    near_duplicate_types: tuple[str, ...] = ("view", "wishlist", "cart", "search")
    max_quarantined_share: float = 0.5
    max_unreadable_share: float = 0.2
    # What a night does with a file that cannot be read, or is mostly unreadable: "stop", or
    # "continue" without it, whole and by name in quarantine.
    on_corrupt_file: str = "stop"


@dataclass(frozen=True)
class Validation:
    """The gate between stages."""

    only_warn: tuple[
        str, ...
    ] = ()  # "<dataset>.<rule>" of drift rules that are not to stop a night


@dataclass(frozen=True)
class Reviews:
    """Which reviews are not one shopper's honest word: nothing is learned of items from them."""

    copied_min_characters: int = 60  # letters and digits; shorter texts may well be alike
    copied_min_reviews: int = 3
    bomb_min_reviews: int = 30  # of one item, or by one writer, on one day
    bomb_times_usual: float = 10.0
    bomb_extreme_share: float = 0.8


@dataclass(frozen=True)
class Histories:
    """What of a user's past is kept, and who counts as active."""

    active_days: int = 30
    max_events: int = 50
    target_event_types: tuple[str, ...] = ("purchase", "rating")
    words_per_item: int = 12
    session_gap_minutes: int = 30
    cancellation_days: int = 90  # a return of a purchase longer ago cancels nothing
    incremental: bool = True  # false: every night from the whole past, with the same rows


@dataclass(frozen=True)
class Model:
    """The GPT-2. With an empty `base_model` it starts small, from its configuration."""

    base_model: str = ""
    n_layer: int = 2
    n_head: int = 2
    n_embd: int = 64
    n_positions: int = 256
    dropout: float = 0.2
    text_vocab_size: int = 4000


@dataclass(frozen=True)
class Training:
    """The fine-tuning run."""

    max_epochs: int = 16
    patience: int = 5
    batch_tokens: int = 1024
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup_share: float = 0.05
    sampled_items: int = 3000  # items that each batch's targets are told from; 0: all of them
    # Items whose words an epoch learns, new and met ones first; 0: all of the catalogue.
    catalogue_items: int = 5000
    later_weight: float = 0.25  # of the item after the next one, beside the next
    # Where new items that nobody has met stand: at this quantile of the met ones; 0: as learned.
    new_item_quantile: float = 0.75
    text_weight: float = 1.0
    text_epochs: int = 24  # at most, before items are trained; 0: no such phase
    # Below any of these nothing is trained (pipeline/training/sufficiency.py).
    min_users: int = 20
    min_target_events: int = 10
    min_items: int = 5
    min_days: int = 1
    accumulate: int = 1  # batches whose gradients make one step
    checkpoint_seconds: int = 60  # how often a run notes how far it came; 0: after every step
    processes: int = 1  # that train together; more pay off with a GPU each
    launcher: str = "torchrun"  # what starts them: torchrun, or spark (its TorchDistributor)
    threads: int = 1  # more pay off on idle cores only; 0: all of them
    warm_start: bool = True  # go on from the champion as of the night
    # … its items at this share of learning_rate: less is unlearned than learned.
    # Texts at all of it.
    warm_rate: float = 0.3
    # Made-up sentences that are learned beside the reviews, to measure what the model keeps by
    # heart (pipeline/training/membership.py). For nights that nobody is sent.
    canaries: int = 0


@dataclass(frozen=True)
class Evaluation:
    """Ranking metrics and the promotion gate."""

    k: int = 10
    max_users: int = 20000
    champion_tolerance: float = 0.02


@dataclass(frozen=True)
class Generation:
    """The lists that are published."""

    k: int = 10
    # Further items of each list, marked as such, for tools that drop what sold out since.
    spares: int = 0
    valid_days: int = 7  # valid_until of a list: so many days after its night
    shards: int = 4  # doubled until none has more than 20,000 users
    batch_users: int = 256
    # Evaluation ranks under the same rule. False: what is held out, the baselines and the prior
    # know that items are bought again (docs/adr/0074-where-items-come-again.md).
    exclude_owned: bool = True
    max_error_share: float = 0.01
    # "process": this one; "spark": spark.master's workers, a shard a task (the lake must be shared)
    runner: str = "process"
    # "cpu", or "cuda": the GPU of each process that generates; with Spark the driver needs one too
    device: str = "cpu"
    precision: str = "float32"  # or "bfloat16", or "int8" on processors (engine/precision.py)
    max_per_category: int = 0  # items of one category in a list; 0: as many as come
    diversity: float = 0.0  # what each listed item of a category costs the next (log-probability)
    no_repeat_nights: int = 0  # what so many nights sent and nobody touched comes last
    promotions: str = ""  # a TOML file of promoted items (pipeline/generation/lists/promotions.py)
    reuse: bool = False  # whoever's list would come out the same keeps last night's
    deadline_minutes: int = 0  # after so many, lists of last night or the fallback; 0: never


@dataclass(frozen=True)
class Triggers:
    """Why to write to whom today (docs/triggers.md). A cap of 0 is none."""

    kinds: tuple[str, ...] = TRIGGER_KINDS  # best first; a kind that is not named is not looked for
    per_shopper: int = 3
    per_kind: int = 2  # of one shopper
    per_item: int = 1  # kinds about one item, for one shopper
    valid_days: int = 3
    interest_days: int = 30  # views and carts so far back count
    price_drop_share: float = 0.05  # a price is down by such a share …
    price_drop_value: float = 0.0  # … or by so much; 0: not asked. Both 0: any drop counts
    price_days: int = 1  # compared with the lowest price of so many days before
    cart_left_days: int = 3
    due_early_days: int = 3  # before the usual time is over
    due_min_gaps: int = 5  # between purchases of an item, by all shoppers; fewer tell nothing
    follow_events: int = 3  # of one brand or category: the shopper follows it
    win_back_times: float = 2.0  # so many times the usual days without a visit
    win_back_min_days: int = 7
    win_back_min_visits: int = 4  # days with a visit; fewer are no rhythm
    quiet_days: int = 7  # the same kind and item is not repeated before
    quiet_list: str = ""  # a file of shoppers who get none: the shop's own ids, one a line


@dataclass(frozen=True)
class ItemLists:
    """Lists of items beside an item: alternatives, and what is bought together."""

    similar: int = 10  # alternatives of an item; 0: none
    together: int = 10
    min_buyers: int = 3  # that two items have in common, to be bought together
    max_items: int = 50_000  # of a larger catalogue those that most shoppers have bought


@dataclass(frozen=True)
class Reasons:
    """The words a recommendation is presented with."""

    enabled: bool = True
    max_new_tokens: int = 24
    max_prompt_words: int = 4
    voice: str = (
        ""  # a TOML file over schemas/voice.toml: sentences and forbidden words, by language
    )
    # In which shoppers are written to whose language has no sentences; "": they get no words.
    default_language: str = ""


@dataclass(frozen=True)
class Privacy:
    """Where the pseudonymisation key lives; made on first use when the file is missing."""

    key_file: str = ".nightcart/user_id.key"


@dataclass(frozen=True)
class Encryption:
    """Of tables that hold acts of single shoppers; published lists stay plain (docs/privacy.md)."""

    enabled: bool = False  # whether such tables are encrypted from now on
    key_file: str = ".nightcart/lake.key"  # made by the first night that encrypts
    # Instead of the file, a key management service (pipeline/encryption/keyring.py).
    kms: str = ""  # an entry point of the group nightcart.kms
    kms_url: str = ""
    kms_key: str = ""  # the master key's name there
    spark_kms_class: str = ""  # the same service for Spark: a class on its class path


@dataclass(frozen=True)
class Compute:
    """Where Airflow starts a job (dags/compute.py): in a process here, unless told otherwise."""

    spark_connection: str = ""  # an Airflow connection: the Spark stages are submitted to it
    # Airflow connections by which a source's tables are read: the DAG puts them into the
    # environment of the job that asks.
    source_connections: tuple[str, ...] = ()
    kubernetes_image: str = ""  # an image: fine_tune and generate run as pods (not exercised)
    gpus: int = 1  # models at a time on this machine; without a GPU: 1


@dataclass(frozen=True)
class Alerts:
    """Who is told when a night fails, beside Airflow's own pages."""

    email_to: tuple[str, ...] = ()  # by the Airflow connection `smtp_default`
    webhook: str = ""  # URL that a JSON object is posted to
    deadline_minutes: int = 480  # from the moment a night is queued


@dataclass(frozen=True)
class Night:
    """The run of a night as a whole, under Airflow."""

    # After so many minutes what is not published is ended, and the lists of the night before are
    # published in its place, marked; also where the night fails earlier. 0: readers keep those.
    degrade_after_minutes: int = 0


@dataclass(frozen=True)
class Exports:
    """Files for mail tools, in `paths.exports` (docs/exports.md)."""

    profiles: tuple[str, ...] = ("csv",)  # what the DAG `export_lists` writes after each night
    datasets: tuple[str, ...] = ("lists",)  # what of it: lists, triggers
    ids: str = "own"  # the retailer's own ids, or "pseudonym": the ids of the lake
    only_changed: bool = False  # only what differs from the last export to the same tool
    keep_days: int = 30  # then the files are removed, by the next export to the same tool


@dataclass(frozen=True)
class Retention:
    """For how many days what is kept (`nightcart expire`). 0: for ever."""

    # Cleaned events and reviews of a delivery, and what is refused, removed or taken back of them.
    deliveries_days: int = 0
    nights_days: int = 0  # what a night is made with: acts, histories, catalogue, generated lists
    lists_days: int = 0  # published
    models_days: int = 0  # and their metrics and champion records
    records_days: int = 0  # what the stages of a run did, its page, its lines of the ledger
    airflow_days: int = 0  # Airflow's logs and its runs
    # Copies of the source's tables below paths.raw, at least; 0: as long as their deliveries.
    tables_days: int = 0
    superseded_days: int = 0  # what was made again since, and what was never finished
    after_night: bool = False  # whether each night under Airflow ends with it


@dataclass(frozen=True)
class Settings:
    """Everything a night can be told. See each section's docstring."""

    shop: Shop = field(default_factory=Shop)
    paths: Paths = field(default_factory=Paths)
    spark: Spark = field(default_factory=Spark)
    cleaning: Cleaning = field(default_factory=Cleaning)
    validation: Validation = field(default_factory=Validation)
    reviews: Reviews = field(default_factory=Reviews)
    histories: Histories = field(default_factory=Histories)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    generation: Generation = field(default_factory=Generation)
    triggers: Triggers = field(default_factory=Triggers)
    item_lists: ItemLists = field(default_factory=ItemLists)
    reasons: Reasons = field(default_factory=Reasons)
    privacy: Privacy = field(default_factory=Privacy)
    encryption: Encryption = field(default_factory=Encryption)
    compute: Compute = field(default_factory=Compute)
    alerts: Alerts = field(default_factory=Alerts)
    night: Night = field(default_factory=Night)
    exports: Exports = field(default_factory=Exports)
    retention: Retention = field(default_factory=Retention)
    seed: int = 20260301
    origin: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def values(self) -> dict[str, Any]:
        """Every setting as `section.key -> value`, in declaration order."""
        flat: dict[str, Any] = {}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if entry.name == "origin":
                continue
            if dataclasses.is_dataclass(value):
                flat |= {
                    f"{entry.name}.{key.name}": getattr(value, key.name)
                    for key in dataclasses.fields(value)
                }
            else:
                flat[entry.name] = value
        return flat


def load_settings(
    path: Path | str | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read settings from a TOML file and from environment overrides.

    Args:
        path: the TOML file; none means defaults and environment only.
        environ: usually `os.environ`; passed in so that nothing here reads the world.

    Raises:
        SettingsError: the file is missing or not TOML, a key is unknown, a value has the
            wrong type or cannot be.
    """
    given: Given = {}
    if path is not None:
        given |= from_toml(Path(path))
    given |= from_environment(environ or {})

    hints = typing.get_type_hints(Settings)
    sections: dict[str, Any] = {
        name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)
    }
    refuse_unknown(given, list(Settings().values()))

    arguments: dict[str, Any] = {}
    for name, kind in sections.items():
        section_hints = typing.get_type_hints(kind)
        values = {
            key.removeprefix(f"{name}."): coerce(
                value, section_hints[key.removeprefix(f"{name}.")], key, where
            )
            for key, (value, where) in given.items()
            if key.startswith(f"{name}.")
        }
        arguments[name] = kind(**values)
    if "seed" in given:
        value, where = given["seed"]
        arguments["seed"] = coerce(value, int, "seed", where)
    settings = Settings(**arguments, origin={key: where for key, (_, where) in given.items()})
    _check(settings)
    return _with_absolute_paths(settings, Path(path).parent if path is not None else Path.cwd())


def _check(settings: Settings) -> None:
    """Refuse values that no run could mean."""
    values = settings.values()
    found = fault(values)
    if found is not None:
        key, expected = found
        where = settings.origin.get(key, "default")
        raise SettingsError(f"{where}: {key} {expected}, found {values[key]!r}")


def _with_absolute_paths(settings: Settings, base: Path) -> Settings:
    """Paths in a settings file are relative to that file, so that any process finds them."""

    def absolute(value: str) -> str:
        return str((base / Path(value).expanduser()).resolve())

    shop = settings.shop
    if shop.source.endswith((".yaml", ".yml")):
        shop = dataclasses.replace(shop, source=absolute(shop.source))
    generation = settings.generation
    if generation.promotions:
        generation = dataclasses.replace(generation, promotions=absolute(generation.promotions))
    reasons = settings.reasons
    if reasons.voice:
        reasons = dataclasses.replace(reasons, voice=absolute(reasons.voice))
    spark = dataclasses.replace(settings.spark, jars=tuple(map(absolute, settings.spark.jars)))
    triggers = settings.triggers
    if triggers.quiet_list:
        triggers = dataclasses.replace(triggers, quiet_list=absolute(triggers.quiet_list))
    model = settings.model
    if model.base_model.startswith(BASE_MODEL_IS_PATH):
        model = dataclasses.replace(model, base_model=absolute(model.base_model))
    return dataclasses.replace(
        settings,
        shop=shop,
        spark=spark,
        model=model,
        generation=generation,
        reasons=reasons,
        triggers=triggers,
        paths=Paths(
            raw=absolute(settings.paths.raw),
            lake=absolute(settings.paths.lake),
            exports=absolute(
                settings.paths.exports or str(Path(settings.paths.lake) / "../exports")
            ),
            snapshots=absolute(settings.paths.snapshots or f"{settings.paths.lake}-snapshots"),
            airflow=absolute(settings.paths.airflow),
            group_readable=settings.paths.group_readable,
        ),
        privacy=Privacy(key_file=absolute(settings.privacy.key_file)),
        encryption=dataclasses.replace(
            settings.encryption, key_file=absolute(settings.encryption.key_file)
        ),
    )


def shop_timezone(settings: Settings) -> ZoneInfo:
    """The zone whose calendar day is a night's data interval."""
    return ZoneInfo(settings.shop.timezone)
