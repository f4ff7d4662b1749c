"""A night that runs out of time publishes, marked; a night that may reuse lists does so."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from jobs import generate
from pipeline.generation import night as night_module
from pipeline.generation.lists.list_maker import ListMaker
from pipeline.generation.night import Generated, Night
from pipeline.lake import Run, write_json
from tests.generation.lists.test_reranker import ids, send
from tests.generation_shop import (
    N_ITEMS,
    NIGHT,
    TRAINED,
    Row,
    Shop,
    catalogue_item,
    checksums,
    item,
    many_histories,
    rows_of,
)
from tests.lake_rows import commit_as_it_is, write_rows

DAY = dt.timedelta(days=1)
PAST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LATER = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


def by(shop: Shop, deadline: dt.datetime, run_id: str = "R") -> Generated:
    return Night(shop.lake, Run(NIGHT, run_id), shop.settings, deadline).generate()


def test_past_the_deadline_lists_are_last_nights_or_the_fallbacks(shop: Shop) -> None:
    people = many_histories(30, seed=3)
    plain = rows_of(shop.generate("plain"))
    sent = {row["user_id"]: ids(row) for row in plain[:20]}
    # Since it was sent the first user has bought the best of theirs; the second's is sold out.
    bought, sold_out = sent[plain[0]["user_id"]][0], sent[plain[1]["user_id"]][0]
    for row in people:
        if row["user_id"] == plain[0]["user_id"]:
            row["owned_item_ids"] = sorted({*row["owned_item_ids"], bought})
    shop.put("histories", people)
    items = [catalogue_item(item(n), sellable=item(n) != sold_out) for n in range(N_ITEMS)]
    shop.put("catalogue", items)
    send(shop, NIGHT - DAY, sent)
    made = by(shop, PAST)
    rows = {row["user_id"]: row for row in rows_of(made)}
    assert len(rows) == 30
    for row in rows.values():
        assert row["fallback_reason"] == "deadline"
        assert row["model_version"] == "none"
        assert row["n_items"] == len(set(ids(row))) == 5
        assert sold_out not in ids(row)
        assert row["reason_method"] == "template"
        before = [one for one in sent.get(row["user_id"], []) if one != sold_out]
        before = [one for one in before if (row["user_id"], one) != (plain[0]["user_id"], bought)]
        assert ids(row)[: len(before)] == before
        assert (row["method"] == "last_night") == bool(before)
        if before:
            scores = [entry["score"] for entry in row["items"]]
            assert scores == sorted(scores, reverse=True)
    assert bought not in ids(rows[plain[0]["user_id"]])
    assert made.report["fallback_reasons"] == {"deadline": 30}
    assert made.report["reason_faults"]["deadline"] > 0


def test_a_deadline_in_the_middle_keeps_what_was_made_before(shop: Shop) -> None:
    shop = shop.with_settings("generation", batch_users=4)
    plain = {row["user_id"]: row for row in rows_of(shop.generate("plain"))}
    looks = iter([PAST - DAY] * 3)  # the deadline passes after the third look at the clock
    night = Night(shop.lake, Run(NIGHT, "R"), shop.settings, PAST, lambda: next(looks, LATER))
    rows = rows_of(night.generate())
    assert len(rows) == 30
    model = [row for row in rows if row["method"] == "model"]
    assert 0 < len(model) < 30
    assert all(ids(row) == ids(plain[row["user_id"]]) for row in model)
    assert {row["fallback_reason"] for row in rows if row["method"] != "model"} == {"deadline"}


def test_a_retry_with_time_left_makes_hurried_shards_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = checksums(shop.generate("undisturbed"))

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(night_module, "recommendation_rows", killed)
    with pytest.raises(Killed):
        by(shop, PAST)
    monkeypatch.undo()
    assert checksums(by(shop, LATER)) == undisturbed


def test_the_job_takes_a_deadline_and_minutes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTCART_PATHS__LAKE", shop.settings.paths.lake)
    common = ["--date", NIGHT.isoformat(), "--run-id", "R"]
    assert generate.main([*common, "--deadline", PAST.isoformat()]) == 0
    record = json.loads((shop.lake.records(Run(NIGHT, "R")) / "generate.json").read_text())
    assert record["report"]["fallback_reasons"] == {"deadline": 30}
    with pytest.raises(SystemExit):
        generate.main([*common, "--deadline", "2026-03-02T05:00"])
    assert "is not an instant with its zone" in capsys.readouterr().err
    seen: list[dt.datetime | None] = []
    monkeypatch.setattr(Night, "generate", lambda self: seen.append(self.deadline) or 1 / 0)
    monkeypatch.setenv("NIGHTCART_GENERATION__DEADLINE_MINUTES", "5")
    generate.main(common)
    generate.main([*common, "--deadline", PAST.isoformat()])
    assert seen[1] == PAST
    assert dt.timedelta(minutes=4) < (seen[0] or PAST) - dt.datetime.now(dt.UTC) < 5 * DAY


def on(shop: Shop, night: dt.date, people: list[Row], **changes: object) -> Shop:
    """The same shop with its inputs on another night too."""
    for dataset, rows in (
        ("histories", people),
        ("catalogue", [catalogue_item(item(n)) for n in range(N_ITEMS)]),
        ("item_words", []),
    ):
        write_rows(shop.lake, dataset, Run(night, "upstream"), rows, files=2)
    champion = shop.lake.require("champions", NIGHT)
    directory = shop.lake.begin("champions", Run(night, "upstream"))
    for file in champion.files:
        (directory / file.name).write_bytes(file.read_bytes())
    shop.lake.commit("champions", Run(night, "upstream"), rows=1)
    return shop.with_settings("generation", reuse=True, **changes)


def made_again(shop: Shop, monkeypatch: pytest.MonkeyPatch, run_id: str) -> tuple[Generated, set]:
    """Generate the next night; and whom the model was asked for."""
    asked: set[str] = set()
    make_anew = ListMaker._make_anew
    monkeypatch.setattr(
        ListMaker,
        "_make_anew",
        lambda self, users, *rest: (
            asked.update(users.column("user_id").to_pylist()),
            make_anew(self, users, *rest),
        )[1],
    )
    generated = Night(shop.lake, Run(NIGHT + DAY, run_id), shop.settings).generate()
    monkeypatch.undo()
    return generated, asked


def same_but_for_rounding(some: list[Row], others: list[Row]) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        both = ([*row.pop("items"), *row.pop("spares")] for row in (one, other))
        for a, b in zip(*both, strict=True):
            assert a.pop("score") == pytest.approx(b.pop("score"), abs=2e-5)
            assert a == b
        assert one == other


@pytest.mark.parametrize("rules", [{}, {"max_per_category": 1}, {"spares": 3}])
def test_whoever_has_not_changed_keeps_their_list_and_it_is_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, rules: dict[str, int]
) -> None:
    people = many_histories(30, seed=3)
    shop = on(shop, NIGHT + DAY, people, **rules)
    shop.generate("first")
    changed = [dict(row) for row in people]
    changed[0]["item_ids"] = [*changed[0]["item_ids"], item(3)]
    changed[0]["event_types"] = [*changed[0]["event_types"], "view"]
    changed[0]["event_times"] = [*changed[0]["event_times"], changed[0]["event_times"][0]]
    changed[1]["owned_item_ids"] = sorted({*changed[1]["owned_item_ids"], item(39)})
    changed[2]["queries"] = ["another brush"]
    changed[3]["language"] = "es"
    write_rows(shop.lake, "histories", Run(NIGHT + DAY, "more"), changed[:29], files=2)
    reused, asked = made_again(shop, monkeypatch, "reused")
    assert asked == {row["user_id"] for row in changed[:4]}
    assert reused.report["reused"] == 25
    anew, everybody = made_again(shop.with_settings("generation", reuse=False), monkeypatch, "anew")
    assert len(everybody) == 29
    same_but_for_rounding(rows_of(reused), rows_of(anew))


@pytest.mark.parametrize("change", ["model", "catalogue", "setting", "no_repeat", "lineage"])
def test_another_model_shop_or_rule_keeps_nobodys_list(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    people = many_histories(30, seed=3)
    shop = on(shop, NIGHT + DAY, people)
    shop.generate("first")
    if change == "model":
        directory = shop.model_directory()
        (directory / "README.md").write_text("another model")
        commit_as_it_is(shop.lake, "models", TRAINED)
    elif change == "catalogue":
        fewer = [catalogue_item(item(n), sellable=n != 7) for n in range(N_ITEMS)]
        write_rows(shop.lake, "catalogue", Run(NIGHT + DAY, "more"), fewer, files=2)
    elif change == "setting":
        shop = shop.with_settings("generation", k=4)
    elif change == "lineage":
        lists = shop.lake.require("generated", NIGHT)
        unknown = {key: fact for key, fact in lists.manifest.items() if key != "lineage"}
        write_json(lists.path / "manifest.json", unknown)
    else:
        shop = shop.with_settings("generation", no_repeat_nights=1)
    made, asked = made_again(shop, monkeypatch, "R")
    assert len(asked) == 30
    assert made.report["reused"] == 0
