"""The page: escaped, self-contained, repeatable, and there for a broken night too."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.report import main
from pipeline.datasets import HISTORIES, TRIGGERS
from pipeline.lake import Lake, Run, write_json
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.report.page import printable, read_night, render, write_report
from pipeline.settings import Settings
from pipeline.stages import TARGET
from tests.lake_rows import write_rows
from tests.report.night_by_hand import (
    HOSTILE,
    N_ITEMS,
    NIGHT,
    STAGES,
    user_id_of,
    write_counts,
    write_good_night,
    write_lists,
    write_records,
)


class Page(HTMLParser):
    """A page taken apart: its tags, its links, its words."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(" ".join([tag, *(name for name, _ in attrs)]))
        given = {name: value or "" for name, value in attrs}
        self.links += [given[name] for name in ("src", "href", "xlink:href") if name in given]
        self.ids += [given["id"]] if "id" in given else []

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(lake: Lake, run: Run, settings: Settings) -> Page:
    path, _ = write_report(lake, run, settings)
    return Page(path.read_text(encoding="utf-8"))


def test_a_good_night_says_what_a_marketer_asks(
    good_night: Lake, run: Run, settings: Settings
) -> None:
    text = page_of(good_night, run, settings).text
    assert "The night of Sunday 1 March 2026" in text
    assert "12 shoppers got a list" in text
    assert "Published" in text
    assert "Not published" not in text
    assert "beats popularity" in text
    assert "2026-03-01-0badcafe" in text
    assert "weights not finite" in text
    assert "fallback: bestsellers" in text
    assert "can serve gets what shoppers with the same items also chose: chosen on the" in text
    assert "where what others chose next stays unless another way" in text
    assert "我想买一款新的手机" in text
    assert "tells which is which in 53 of 100 pairs" in text
    assert "not run" not in text


def test_the_shops_words_are_shown_and_never_obeyed(
    good_night: Lake, run: Run, settings: Settings
) -> None:
    page = page_of(good_night, run, settings)
    assert HOSTILE in page.text
    assert not {"script", "img", "iframe", "link", "object"} & {tag.split()[0] for tag in page.tags}


def test_nothing_is_fetched_from_anywhere(good_night: Lake, run: Run, settings: Settings) -> None:
    page = page_of(good_night, run, settings)
    assert [link for link in page.links if not link.startswith("#")] == [
        "data_docs/index.html"
    ] * page.links.count("data_docs/index.html")
    html = (good_night.records(run) / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert len(page.ids) == len(set(page.ids))


def test_hostile_titles_change_words_only(
    tmp_path: Path, run: Run, settings: Settings, shared_data: Path
) -> None:
    """Whatever the titles say, the page has the elements and attributes of harmless ones."""
    strings = json.loads((shared_data / "hostile_strings" / "blns.json").read_text("utf-8"))
    # Several to a title: fewer pages, the same words.
    lines = [text for text in strings if text.strip()]
    hostile = [" ".join(lines[start : start + 5]) for start in range(0, len(lines), 5)]
    plain = Lake(tmp_path / "plain")
    write_good_night(plain, run, lambda number: f"item {number}")
    expected = page_of(plain, run, settings).tags
    for start in range(0, len(hostile), N_ITEMS):
        some = hostile[start : start + N_ITEMS]
        lake = Lake(tmp_path / str(start))
        write_good_night(lake, run, lambda number, some=some: some[number % len(some)])
        page = page_of(lake, run, settings)
        assert page.tags == expected
        assert printable(some[0]) in page.text


def test_the_same_lake_gives_the_same_bytes(
    good_night: Lake, run: Run, settings: Settings, tmp_path: Path
) -> None:
    first, _ = write_report(good_night, run, settings)
    elsewhere = Lake(tmp_path / "elsewhere" / "lake")
    shutil.copytree(good_night.root, elsewhere.root)
    second, _ = write_report(elsewhere, run, settings)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    "missing",
    [
        "runs",
        "ledger",
        "catalogue",
        "histories",
        "models",
        "metrics",
        "champions",
        "recommendations",
        "all",
    ],
)
def test_a_part_that_is_not_there_is_left_out(
    good_night: Lake, run: Run, settings: Settings, missing: str
) -> None:
    whole = page_of(good_night, run, settings).text
    shutil.rmtree(good_night.root if missing == "all" else good_night.dataset(missing))
    page = page_of(good_night, run, settings)
    assert "could not be read" not in page.text
    assert len(page.text) < len(whole)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ("recommendations/run_date=*/run_id=*/part-0.parquet", "the lists"),
        ("histories/run_date=*/run_id=*/part-0.parquet", "histories"),
        ("metrics/run_date=*/run_id=*/part-0.parquet", "metrics"),
        ("models/run_date=*/run_id=*/training_log.json", "models"),
        ("models/run_date=*/run_id=*/manifest.json", "models"),
        ("champions/run_date=*/run_id=*/champion.json", "champions"),
        ("ledger/run_date=*/run_id=*/clean.jsonl", "the ledger"),
        ("recommendations/run_date=*/current.json", "what readers see"),
    ],
)
def test_a_part_that_cannot_be_read_is_named(
    good_night: Lake, run: Run, settings: Settings, broken: str, named: str
) -> None:
    (path,) = good_night.root.glob(broken)
    path.write_bytes(b"\x00 not what it was {")
    page = page_of(good_night, run, settings)
    notes = page.text[page.text.index("What could not be read") :]
    assert f"{named}: " in notes


def test_a_failed_night_shows_its_error_and_what_readers_see(
    good_night: Lake, settings: Settings
) -> None:
    failed = Run(NIGHT + dt.timedelta(days=1), "attempt-2")
    write_records(good_night, failed, STAGES[:2])
    write_counts(good_night, failed)
    error = "cleaned_events: 214 values of event_id are not unique, expected none <b>"
    record = {"stage": "validate_cleaned", "status": "failed", "error": error, "seconds": 2.0}
    write_json(good_night.records(failed) / "validate_cleaned.json", record)
    page = page_of(good_night, failed, settings)
    assert "Not published" in page.text
    assert "The night stopped at “Check the cleaned day”" in page.text
    assert error in page.text
    assert "Readers still see the lists of Sunday 1 March 2026" in page.text
    assert "There are no lists for this date" in page.text
    assert page.text.count("not run") == len(STAGES) - 3


def test_a_stage_that_was_killed_counts_as_failed(
    good_night: Lake, run: Run, settings: Settings
) -> None:
    record = {"stage": "publish", "status": "running", "started": "2026-03-02T01:00:00+00:00"}
    write_json(good_night.records(run) / "publish.json", record)
    text = page_of(good_night, run, settings).text
    assert "“Publish” was cut off" in text


def test_another_runs_lists_are_not_passed_off_as_this_runs(
    good_night: Lake, run: Run, settings: Settings
) -> None:
    rerun = Run(run.run_date, "attempt-2")
    write_records(good_night, rerun, STAGES[:4])
    text = page_of(good_night, rerun, settings).text
    assert "Not published" in text
    assert "another run of this date (attempt-1)" in text
    assert "These are the lists of run attempt-1" in text
    assert "shoppers got a list" not in text


def test_lists_that_were_made_and_not_published_say_so(
    good_night: Lake, run: Run, settings: Settings
) -> None:
    rerun = Run(run.run_date, "attempt-2")
    write_records(good_night, rerun, STAGES[:7])
    write_lists(good_night, rerun, dataset="generated")
    text = page_of(good_night, rerun, settings).text
    assert "12 shoppers have a list that was not published" in text
    assert "no reader sees them" in text
    assert "another run of this date (attempt-1)" in text


def test_a_run_that_was_replaced_still_shows_its_own(
    good_night: Lake, run: Run, settings: Settings
) -> None:
    write_lists(good_night, Run(run.run_date, "attempt-2"))
    text = page_of(good_night, run, settings).text
    assert "Published, replaced since" in text
    assert "Readers now see attempt-2" in text
    assert "12 shoppers got a list" in text
    assert "Not this run’s" not in text


def test_an_empty_publication_has_a_page(lake: Lake, run: Run, settings: Settings) -> None:
    write_records(lake, run, STAGES)
    partition = write_lists(lake, run)
    schema_only = partition.files[0]
    import pyarrow.parquet as pq

    table = pq.ParquetFile(schema_only).read()
    pq.write_table(table.slice(0, 0), lake.begin("recommendations", run) / "part-0.parquet")
    lake.commit("recommendations", run, rows=0)
    page = page_of(lake, run, settings)
    assert "could not be read" not in page.text
    assert "0 shoppers got a list" in page.text


def test_times_are_the_shops(good_night: Lake, run: Run, settings: Settings) -> None:
    import dataclasses

    shop = dataclasses.replace(settings.shop, timezone="Asia/Tokyo")
    night = read_night(good_night, run, settings)
    html = render(night, dataclasses.replace(settings, shop=shop))
    # 23:30 UTC on 1 February is 08:30 the next morning in Tokyo.
    assert "02 Feb 08:30" in html
    assert "01 Feb 23:30" not in html


def test_the_job_writes_the_page_and_its_record(
    good_night: Lake, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTCART_PATHS__LAKE", str(good_night.root))
    assert main(["--date", NIGHT.isoformat(), "--run-id", run.run_id]) == 0
    record = json.loads((good_night.records(run) / "report.json").read_text("utf-8"))
    assert record["status"] == "done"
    assert record["report"]["shoppers"] == 12
    first = Path(record["report"]["path"]).read_bytes()
    # Its own record is no stage of the night: a second run of the job changes nothing.
    assert main(["--date", NIGHT.isoformat(), "--run-id", run.run_id]) == 0
    assert Path(record["report"]["path"]).read_bytes() == first


@given(st.text(st.characters(exclude_categories=())))
@example("a \ud800 b \u202e c \x07")
def test_printable_text_can_be_written_and_stays_in_its_place(text: str) -> None:
    clean = printable(text)
    assert len(clean) == len(text)
    clean.encode("utf-8")
    assert not any(ord(letter) < 32 or letter == "\u202e" for letter in clean)
    kept = [a for a, b in zip(text, clean, strict=True) if a == b]
    assert all(letter in kept for letter in text if letter.isalnum())


def test_the_run_in_airflow_is_linked_where_there_is_one(
    good_night: Lake, run: Run, settings: Settings
) -> None:
    page = "http://127.0.0.1:8080/dags/nightly_recommendations/runs/manual__2026-03-02"
    path, _ = write_report(good_night, run, settings, page)
    assert page in Page(path.read_text(encoding="utf-8")).links
    assert not [link for link in page_of(good_night, run, settings).links if link[:4] == "http"]
    with pytest.raises(SystemExit):
        main(["--date", str(NIGHT), "--airflow-run", "javascript:alert(1)"])


def test_a_night_that_another_stands_in_for_says_so(
    lake: Lake, run: Run, settings: Settings
) -> None:
    write_records(lake, run, ["wait_for_raw"])
    write_lists(lake, run, lists_of=str(NIGHT - dt.timedelta(days=1)))
    text = page_of(lake, run, settings).text
    assert "Not made in time" in text
    assert "Readers see the lists of Saturday 28 February 2026 in place of this night’s" in text


def test_the_triggers_are_counted(good_night: Lake, run: Run, settings: Settings) -> None:
    assert "Why to write today" not in page_of(good_night, run, settings).text
    row = {
        "user_id": user_id_of(1),
        "rank": 1,
        "kind": "price_drop",
        "item_id": "i1",
        "price": 2.0,
        "because": "view",
        "since": dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
        "price_before": 3.0,
        "valid_from": NIGHT,
        "valid_until": NIGHT,
    }
    write_rows(good_night, TRIGGERS, run, [row], kinds={"price_drop": 1})
    shoppers, candidates = {"inactive": 6, "nothing_to_say": 5}, {"sent_before": 3}
    lines = [
        LedgerLine(NIGHT, run.run_id, TARGET, HISTORIES, 12, 1, removed=shoppers),
        LedgerLine(NIGHT, run.run_id, TARGET, TRIGGERS, 4, 1, removed=candidates),
    ]
    write_ledger(good_night, run, TARGET, lines)
    text = page_of(good_night, run, settings).text
    assert "1 trigger for 1 of 12 shoppers" in text
    for words in ("price drop", "Found and left out", "Shoppers without any", "nothing to say"):
        assert words in text
