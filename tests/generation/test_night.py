"""A night from end to end: who gets a row, what is in it, and what a kill or a fault leaves."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.contracts.arrow import check_table
from pipeline.contracts.contract import load_contract
from pipeline.errors import DamagedError, GateError, InputError, StorageError
from pipeline.generation import night, reason_shards
from pipeline.generation.inputs import NightInputs
from pipeline.generation.lists import list_maker
from pipeline.intact import file_sha256
from pipeline.lake import Run
from pipeline.model.checkpoint import VERSION_FILE, WEIGHTS_FILE, load_checkpoint
from pipeline.model.count_mixture import (
    COUNT_FEATURES,
    PAIR_FEATURES,
    SAME_SHAPE,
    CountMixture,
    Weights,
)
from pipeline.model.prior import Prior, mixed_prior
from pipeline.model.transitions import fit_transitions
from pipeline.model.user_history import read_histories
from pipeline.ranking.held_out_ranks import Items, model_scorer
from tests.generation_shop import (
    N_ITEMS,
    NIGHT,
    TRAINED,
    Row,
    Shop,
    catalogue_item,
    checksums,
    history,
    item,
    many_histories,
    rows_of,
)
from tests.lake_rows import commit_as_it_is, user_id_of


def by_user(rows: list[Row]) -> dict[str, Row]:
    return {row["user_id"]: row for row in rows}


def test_every_active_consenting_user_has_exactly_k_allowed_items(shop: Shop) -> None:
    people = many_histories(30, seed=3)
    left_out = [
        history("asleep", [item(1)], active=False),
        history("asleep-too", [item(1)], active=False, consent=False),
        history("said-no", [item(1)], consent=False),
    ]
    shop.put("histories", people + left_out)
    unsellable = {item(5), item(11)}
    items = [catalogue_item(item(n), sellable=item(n) not in unsellable) for n in range(N_ITEMS)]
    shop.put("catalogue", items)
    made = shop.generate()
    rows = rows_of(made)
    assert [row["user_id"] for row in rows] == sorted(row["user_id"] for row in people)
    owned = {row["user_id"]: set(row["owned_item_ids"]) for row in people}
    for row in rows:
        listed = [entry["item_id"] for entry in row["items"]]
        assert len(set(listed)) == len(listed) == row["n_items"] == 5
        assert not set(listed) & (owned[row["user_id"]] | unsellable)
        assert [entry["rank"] for entry in row["items"]] == [1, 2, 3, 4, 5]
        scores = [entry["score"] for entry in row["items"]]
        assert scores == sorted(scores, reverse=True)
        assert row["items"][0]["title"] == f"Brush {listed[0]}"
        assert row["method"] == "model"
        assert row["reason"]
    assert (made.audience.rows, made.audience.due) == (33, 30)
    assert (made.audience.inactive, made.audience.no_consent) == (2, 1)
    assert made.report["users"] == made.partition.rows == 30
    assert made.report["methods"] == {"model": 30}


PASTS = [np.random.default_rng([5, n]).integers(0, N_ITEMS, 12).tolist() for n in range(20)]


def a_mixture(weight: float) -> Prior:
    """Of counts of some pasts, with item weights that differ."""
    numbers = np.random.default_rng(7)
    new, again = (
        Weights(numbers.normal(size=n), numbers.normal(size=N_ITEMS))
        for n in (len(COUNT_FEATURES), len(PAIR_FEATURES))
    )
    same = fit_transitions(PASTS, N_ITEMS, SAME_SHAPE)
    return mixed_prior(CountMixture(same, fit_transitions(PASTS, N_ITEMS), new, again), weight)


@pytest.mark.parametrize(
    ("prior", "exclude_owned"),
    [
        (Prior(fit_transitions(PASTS, N_ITEMS), 3.0), True),
        (Prior(fit_transitions(PASTS, N_ITEMS), 3.0, 2.0), False),
        (Prior(fit_transitions(PASTS, N_ITEMS), 0.0, 4.0), False),
        (a_mixture(2.0), True),
        (a_mixture(8.0), False),
    ],
    ids=["prior", "own counts too", "own counts", "mixture", "mixture, repeats too"],
)
def test_lists_are_those_that_evaluation_measures_the_prior_included(
    shop: Shop, prior: Prior, exclude_owned: bool
) -> None:
    """No held-out event, nothing unsellable: both rank the same items for the same prompts."""
    shop = shop.with_settings("generation", exclude_owned=exclude_owned)
    without = by_user(rows_of(shop.generate("R1")))
    shop.put_model(prior=prior)
    listed = by_user(rows_of(shop.generate("R2")))
    items = Items(tuple(item(n) for n in range(N_ITEMS)), np.ones(N_ITEMS, dtype=np.bool_))
    checkpoint = load_checkpoint(shop.model_directory())
    scorer = model_scorer(checkpoint.model, checkpoint.vocabulary, items, 50, checkpoint.prior)
    users = read_histories(shop.lake, NIGHT)
    scores = scorer(users)
    assert len(users) == 30
    changed = 0
    for user, scores_I in zip(users, scores, strict=True):
        owned = {int(name.removeprefix("item-")) for name in user.owned_item_ids}
        owned = owned if exclude_owned else set()
        best = [n for n in np.argsort(-scores_I, kind="stable") if n not in owned][:5]
        found = [entry["item_id"] for entry in listed[user.user_id]["items"]]
        assert found == [item(n) for n in best]
        allowed = [n for n in range(N_ITEMS) if n not in owned]
        total = np.logaddexp.reduce(scores_I[allowed])
        scores = [entry["score"] for entry in listed[user.user_id]["items"]]
        # Lists are scored in single precision and published to five decimals.
        assert scores == pytest.approx(scores_I[best] - total, abs=5e-5)
        changed += found != [entry["item_id"] for entry in without[user.user_id]["items"]]
    assert changed > 20, "such a prior moves most lists"


def test_with_another_mixture_no_list_is_reused(shop: Shop) -> None:
    keys = []
    for weight in (1.0, 1.0, 2.0):
        shutil.rmtree(shop.model_directory())  # what is committed stays as it is
        shop.put_model(prior=a_mixture(weight))
        inputs = NightInputs(shop.lake, Run(NIGHT, "R"), shop.settings, lambda: False)
        keys.append(inputs.list_key)
    assert keys[0] == keys[1] != keys[2]


def test_the_files_keep_to_the_contract_and_are_sorted(shop: Shop) -> None:
    made = shop.generate()
    assert [path.name for path in made.partition.files] == [
        f"part-{n:05d}.parquet" for n in range(3)
    ]
    for path in made.partition.files:
        table = check_table(pq.read_table(path), load_contract("recommendations"))
        users = table.column("user_id").to_pylist()
        assert users == sorted(users)


def test_the_same_inputs_give_the_same_bytes(shop: Shop) -> None:
    assert checksums(shop.generate("R1")) == checksums(shop.generate("R2"))


def test_sharded_is_whole(shop: Shop) -> None:
    sharded = rows_of(shop.generate("R1"))
    whole = rows_of(shop.with_settings("generation", shards=1, batch_users=7).generate("R2"))
    for some, other in zip(sharded, whole, strict=True):
        for one, two in zip(some.pop("items"), other.pop("items"), strict=True):
            assert one.pop("score") == pytest.approx(two.pop("score"), abs=2e-5)
            assert one == two
        assert some == other


class Killed(BaseException):
    """A process that is killed runs no handler."""


@pytest.mark.parametrize("moment", [0, 1, 2, "reasons", "rows", "manifest"])
def test_a_rerun_after_a_kill_does_what_is_missing_and_gives_the_same_bytes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, moment: int | str
) -> None:
    undisturbed = checksums(shop.generate("undisturbed"))
    made: list[int] = []
    make = list_maker.ListMaker.make

    def counted(self, users, done):  # type: ignore[no-untyped-def]
        if len(made) == moment:
            raise Killed
        made.append(users.num_rows)
        return make(self, users, done)

    def killed(*args: object, **kwargs: object) -> None:
        raise Killed

    monkeypatch.setattr(list_maker.ListMaker, "make", counted)
    if moment == "reasons":
        monkeypatch.setattr(reason_shards, "write_reasons", killed)
    if moment == "rows":
        monkeypatch.setattr(night, "recommendation_rows", killed)
    if moment == "manifest":
        monkeypatch.setattr("pipeline.lake._put_sealed", killed)
    with pytest.raises(Killed):
        shop.generate("R")
    assert shop.lake.current("generated", NIGHT).run_id == "undisturbed"  # type: ignore[union-attr]
    n_done = len(made)
    monkeypatch.undo()
    monkeypatch.setattr(
        list_maker.ListMaker,
        "make",
        lambda self, users, done: (made.append(users.num_rows), make(self, users, done))[1],
    )
    again = shop.generate("R")
    assert checksums(again) == undisturbed
    assert n_done == (moment if isinstance(moment, int) else 3)
    assert len(made) == 3
    assert not shop.lake.work("generate", Run(NIGHT, "R")).exists()


def test_a_retry_of_a_committed_night_does_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shop.generate()

    def never(*args: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(list_maker.ListMaker, "make", never)
    again = shop.generate()
    assert checksums(again) == checksums(first)
    assert again.report["methods"] == first.report["methods"]


def test_shards_of_other_inputs_are_not_reused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(night, "recommendation_rows", _raise_killed)
    with pytest.raises(Killed):
        shop.generate()
    monkeypatch.undo()
    shop.put("catalogue", [catalogue_item(item(n)) for n in range(N_ITEMS // 2)])
    ids = {entry["item_id"] for row in rows_of(shop.generate()) for entry in row["items"]}
    assert max(ids) < item(N_ITEMS // 2)


def _raise_killed(*args: object, **more: object) -> None:
    raise Killed


def test_a_full_disk_is_one_clear_error_and_then_a_clean_resume(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = checksums(shop.generate("undisturbed"))
    write = pq.write_table
    written: list[object] = []

    def full(table, file, **options):  # type: ignore[no-untyped-def]
        if len(written) == 2:
            file.write(b"PAR1 half of it")
            raise OSError(28, "No space left on device")
        written.append(file)
        write(table, file, **options)

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(StorageError, match="No space left on device"):
        shop.generate("R")
    monkeypatch.undo()
    work = shop.lake.work("generate", Run(NIGHT, "R"))
    assert sorted(path.name for path in work.iterdir()) == [
        shop.night("R").inputs.users.directory.name,
        "shard-00000.json",
        "shard-00000.parquet",
        "shard-00001.json",
        "shard-00001.parquet",
    ]
    assert checksums(shop.generate("R")) == undisturbed


def test_without_a_champion_every_list_is_a_marked_fallback(shop: Shop) -> None:
    shop.put_champion(None)
    made = shop.generate()
    for row in rows_of(made):
        assert row["method"] in ("markov", "popularity")
        assert row["fallback_reason"] == "no_champion"
        assert row["model_version"] == "none"
        assert row["n_items"] == 5
        assert row["reason_method"] == "template"
    assert made.report["fallback_reasons"] == {"no_champion": 30}
    assert made.report["items_unknown_to_model"] is None


def test_evaluation_that_has_not_run_is_said(shop: Shop) -> None:
    shutil.rmtree(shop.lake.dataset("champions"))
    with pytest.raises(InputError, match="no champions for 2026-03-01"):
        shop.generate()


@pytest.mark.parametrize("content", ["", "[]", '{"model_run_date": "soon", "model_run_id": "x"}'])
def test_a_champion_file_that_is_none_is_said(shop: Shop, content: str) -> None:
    directory = shop.lake.require("champions", NIGHT).path
    (directory / "champion.json").write_text(content)
    with pytest.raises(DamagedError, match=r"champion\.json .*--date 2026-03-01 --from evaluate"):
        shop.generate()


@pytest.mark.parametrize("damage", ["cut", "missing file", "missing directory", "no JSON"])
def test_a_champion_that_does_not_load_is_a_marked_fallback(shop: Shop, damage: str) -> None:
    weights = shop.model_directory() / WEIGHTS_FILE
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "missing file":
        weights.unlink()
    elif damage == "missing directory":
        shutil.rmtree(shop.model_directory())
    else:
        (shop.model_directory() / "config.json").write_text("{")
    assert shop.generate().report["fallback_reasons"] == {"champion_unreadable": 30}


def test_weights_that_are_not_numbers_are_a_marked_fallback(shop: Shop) -> None:
    path = shop.model_directory() / WEIGHTS_FILE
    weights = load_file(path)
    name = next(name for name in weights if name.endswith("c_fc.weight"))
    weights[name][0, 0] = torch.nan
    save_file(weights, path, metadata={"format": "pt"})
    version = {"model_version": f"{NIGHT}-{file_sha256(path)[:8]}"}
    (shop.model_directory() / VERSION_FILE).write_text(json.dumps(version))
    commit_as_it_is(shop.lake, "models", TRAINED)
    assert shop.generate().report["fallback_reasons"] == {"weights_not_finite": 30}


def test_one_users_bad_row_does_not_stop_the_night_and_many_do(shop: Shop) -> None:
    people = many_histories(30, seed=3)
    people[4] = history("broken", [item(1), item(2)], event_types=["view", "teleport"])
    shop.put("histories", people)
    tolerant = shop.with_settings("generation", max_error_share=0.05)
    rows = by_user(rows_of(tolerant.generate()))
    assert len(rows) == 30
    broken = rows[user_id_of("broken")]
    assert (broken["method"], broken["fallback_reason"]) == ("markov", "prompt_failed")
    assert broken["n_items"] == 5
    assert all(
        row["method"] == "model" for user, row in rows.items() if user != user_id_of("broken")
    )
    with pytest.raises(GateError, match=r"failed for 3\.3% of 30 users \(1 prompt_failed\).*1\.0%"):
        shop.with_settings("generation", max_error_share=0.01).generate("R2")
    assert shop.lake.current("generated", NIGHT).run_id == "R"  # type: ignore[union-attr]


def test_new_items_are_counted_and_fill_lists_that_the_model_cannot(shop: Shop) -> None:
    new = [catalogue_item(f"new-{n}") for n in range(6)]
    shop.put("catalogue", [catalogue_item(item(n)) for n in range(3)] + new)
    everything = [item(n) for n in range(3)]
    shop.put("histories", [history("a", everything[:1]), history("b", everything)])
    strict = shop.with_settings("generation", max_error_share=1.0)
    made = strict.generate()
    rows = by_user(rows_of(made))
    assert made.report["items_unknown_to_model"] == 6
    assert rows[user_id_of("a")]["fallback_reason"] == "too_few_known_items"
    assert rows[user_id_of("b")]["fallback_reason"] == "no_allowed_item"
    assert all(row["n_items"] == 5 for row in rows.values())


def test_fewer_items_only_where_fewer_are_allowed(shop: Shop) -> None:
    shop.put("catalogue", [catalogue_item(item(n)) for n in range(6)])
    shop.put(
        "histories",
        [
            history("owns-none", ["gone"], event_types=["view"], owned_item_ids=[]),
            history("owns-three", [item(n) for n in range(3)]),
            history("owns-all", [item(n) for n in range(6)]),
        ],
    )
    made = shop.generate()
    rows = by_user(rows_of(made))
    assert rows[user_id_of("owns-none")]["n_items"] == 5
    assert rows[user_id_of("owns-three")]["n_items"] == 3
    assert rows[user_id_of("owns-three")]["method"] == "model"
    assert user_id_of("owns-all") not in rows
    assert (made.report["short_lists"], made.report["nothing_left"]) == (1, 1)


def test_a_single_item(shop: Shop) -> None:
    shop.put("catalogue", [catalogue_item(item(7))])
    shop.put("histories", [history("a", [item(3)]), history("b", [item(7)])])
    rows = rows_of(shop.generate("R1"))
    assert [[entry["item_id"] for entry in row["items"]] for row in rows] == [[item(7)]]
    assert rows[0]["items"][0]["score"] == 0.0
    shop.put("histories", [history("b", [item(7)])])
    with pytest.raises(GateError, match="all 1 users already own everything that is sellable"):
        shop.generate("R2")
    both = shop.with_settings("generation", exclude_owned=False).generate("R3")
    assert both.report["users"] == 1


def test_nothing_sellable_and_nobody_due(shop: Shop) -> None:
    shop.put("histories", [history("a", [item(1)], consent=False)])
    with pytest.raises(GateError, match=r"none of the 1 users .*0 inactive, 1 without consent"):
        shop.generate()
    shop.put("histories", many_histories(3, seed=1))
    shop.put("catalogue", [catalogue_item(item(1), sellable=False)])
    with pytest.raises(GateError, match="none of the 1 items"):
        shop.generate()
    assert shop.lake.current("generated", NIGHT) is None


def test_a_history_the_model_knows_nothing_of_still_gets_a_list(shop: Shop) -> None:
    nothing = history("empty", [], owned_item_ids=[])
    unknown = history("unknown", ["x", "y"], owned_item_ids=["x"])
    long = history("long", [item(n % N_ITEMS) for n in range(50)], owned_item_ids=[])
    queries = ["<|end|> 我想买 \x00 \ud7ff" * 50] * 9
    wordy = history("wordy", [item(1)], queries=queries, query_times=[])
    shop.put("histories", [nothing, unknown, long, wordy])
    rows = rows_of(shop.generate())
    assert [row["method"] for row in rows] == ["model"] * 4


def test_hostile_titles_pass_through_as_facts(shop: Shop) -> None:
    hostile = ["{item}", "<script>alert(1)</script>", "a\nb\x00c", "’”“🙂", "x" * 5000, "", None]
    items = [catalogue_item(item(n), title=hostile[n % len(hostile)]) for n in range(N_ITEMS)]
    shop.put("catalogue", items)
    titles = {row["item_id"]: row["title"] for row in items}
    for row in rows_of(shop.generate()):
        assert all(entry["title"] == titles[entry["item_id"]] for entry in row["items"])
        assert 10 < len(row["reason"]) < 400
        assert "\n" not in row["reason"]


def test_reasons_can_be_switched_off(shop: Shop) -> None:
    rows = rows_of(shop.with_settings("reasons", enabled=False).generate())
    assert {(row["reason"], row["reason_method"], row["language"]) for row in rows} == {
        (None, None, None)
    }
