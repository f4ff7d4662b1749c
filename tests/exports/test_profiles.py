"""Every profile: its golden file, and hostile lists that it keeps within its limits or names."""

from __future__ import annotations

import csv
import io
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import SettingsError
from pipeline.exports.export import Exported, check_export
from pipeline.exports.profile import Form, Left, Profile, fault_of, shortened, units
from pipeline.exports.profiles import FORMULA_AT_START, FORMULA_INSIDE, PROFILES, profile_named
from pipeline.lake import Lake
from pipeline.settings import load_settings
from pipeline.settings_ranges import EXPORT_PROFILES
from tests.exports.conftest import K, Shop, item
from tests.exports.golden import FOLDER, fixed_key, golden

by_profile = pytest.mark.parametrize("name", PROFILES)
BY_HAND = [
    '"', ",", "\n", "\r", "\r\n", "\t", "\x00", "\x1b[31m", "'", ";", "|", "\\", " ", "👩‍👩‍👧‍👦",
    "🍵", "=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", "＝1", "\u202eabc", "שלום", "مرحبا",
    "\u2028", "\u2029", "\x85", "\ufeff", "\uffff", "NULL", "null", "(none)", "e\u0301", "<script>",
    "{{ user }}", "%s", "x" * 300, "é" * 5000, "🍵" * 140, "y" * 70_000,
]  # fmt: skip
HOSTILE = st.lists(
    st.one_of(st.sampled_from(BY_HAND), st.text(st.characters(exclude_categories=["Cs"]))),
    max_size=4,
).map("".join)


@by_profile
def test_the_golden_file(name: str, shop: Shop) -> None:
    fixed_key(Path(shop.settings.privacy.key_file))
    assert golden(shop, name) == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def test_settings_know_the_same_names() -> None:
    assert set(EXPORT_PROFILES) == set(PROFILES)
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(PROFILES)


def test_a_name_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"no export for 'brase'; did you mean 'braze'\? There"):
        profile_named("brase")


def hostile_own_id(n: int, text: str, name: str) -> str:
    own = f"{n}{text[:20]}"
    return f"u{n}@shop.example" if name == "mailchimp" and n % 3 else own


def hostile_items(texts: list[str]) -> list[dict[str, Any]]:
    return [
        item(f"i{rank}{text[:8] if len(text) % 5 == 0 else ''}", text, price=rank / 7)
        for rank, text in enumerate(texts)
    ]


def check_hostile(lists: dict[str, list[dict[str, Any]]], name: str) -> Exported:
    """Export lists; every row is in a file that keeps all limits, or named.

    One more is as every tool takes it: an export of which all is refused is none.
    """
    lists = {"good@shop.example" if name == "mailchimp" else "good": [item("i1", "Tea")], **lists}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        places = {
            f"NIGHTCART_{key}": str(base / key)
            for key in ("PATHS__LAKE", "PATHS__RAW", "PATHS__EXPORTS", "PRIVACY__KEY_FILE")
        }
        configured = load_settings(None, places)
        shop = Shop(Lake(configured.paths.lake), configured)
        shop.publish(lists)
        done = shop.export(name, known=list(lists))
        profile = profile_named(name)
        assert check_export(done.made, profile) == []
        kept = {key for path in done.made.files for key, _ in read(path, profile)}
        with (done.made.path / "notes.csv").open(encoding="utf-8") as file:
            named = {row["user_id"] for row in csv.DictReader(file) if row["action"] == "left_out"}
        assert len(kept) == done.counts["exported"]
        assert len(named) == done.counts["left_out"]
        assert len(kept) + len(named) == len(lists)
        if not profile.key_is_text:
            assert {shop.user_id(key) for key in kept} == set(map(shop.user_id, lists)) - named
        for path in done.made.files:
            by_another_reader(path, profile)
        return done


def read(path: Path, profile: Profile) -> Iterator[tuple[str, Any]]:
    """Keys and records, without the code that is tested."""
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        yield from ((row["external_id"], json.loads(row["payload"])) for row in rows)
    elif path.suffix == ".csv":
        text = path.read_bytes().decode("utf-8-sig" if profile.file.byte_order_mark else "utf-8")
        for row in list(csv.reader(io.StringIO(text, newline=""), strict=True))[1:]:
            yield row[0], row
    elif path.suffix == ".jsonl":
        for line in path.read_bytes().split(b"\n")[:-1]:
            record = json.loads(line)
            yield record["input"]["userId"], record
    elif profile.name == "klaviyo":
        job = json.loads(path.read_bytes())["data"]["attributes"]
        for row in job["profiles"]["data"]:
            yield row["attributes"]["external_id"], row
    else:
        for row in json.loads(path.read_bytes())["members"]:
            yield row["email_address"], row


def by_another_reader(path: Path, profile: Profile) -> None:
    """The tool's limits in the words of its page, not in those of its profile."""
    content, records = path.read_bytes(), [record for _, record in read(path, profile)]
    text = "" if path.suffix == ".parquet" else content.decode()
    assert "\x00" not in text
    if profile.name == "braze":
        for record in records:
            for value in record.values():
                assert value is None or isinstance(value, int | str | list)
                for one in value if isinstance(value, list) else [value]:
                    assert not isinstance(one, str) or len(one) <= 255
                assert not isinstance(value, list) or 1 <= len(value) <= 100
    if profile.name == "klaviyo":
        assert len(records) <= 10_000
        assert len(content) <= 5_000_000
        assert "null" not in {json.dumps(v) for r in records for v in flat_values(r)}
        assert all(len(json.dumps(r, ensure_ascii=False).encode()) <= 110_000 for r in records)
    if profile.name == "mailchimp":
        assert len(records) <= 500
        for record in records:
            assert "status" not in record
            assert all(len(tag) <= 10 for tag in record["merge_fields"])
            assert all(len(str(value).encode()) <= 255 for value in flat_values(record))
    if profile.name == "iterable":
        assert len(records) <= 1000
        for record in records:
            assert record[0].replace("-", "").isalnum()
            assert record[0].isascii()
            assert len(json.dumps(record, ensure_ascii=False).encode()) < 30_000
    if profile.name == "emarsys":
        assert all(ord(letter) < 0x10000 for letter in text)
        assert len(text.splitlines()) == len(records) + 1
    if profile.name in ("salesforce", "hubspot", "customerio"):
        assert all("\n" not in cell and "\r" not in cell for r in records for cell in r)
    if profile.name == "salesforce":
        assert all(len(cell) <= 4000 for record in records for cell in record)
    if profile.name == "hubspot":
        assert all(cell != "" and len(cell) <= 65_536 for record in records for cell in record)
    if profile.name == "customerio":
        assert all(len(cell.encode()) <= 1000 for record in records for cell in record)
    if profile.name == "spreadsheet":
        for cell in [cell for record in records for cell in record]:
            for piece in cell.replace("|", ";").replace(",", ";").split(";"):
                assert piece.lstrip()[:1] not in set("=+-@＝＋－＠") - {""}
    if profile.name == "personalize":
        for record in records:
            assert set(record) == {"input", "output", "error"}
            assert record["error"] is None
            output = record["output"]
            assert len(output["recommendedItems"]) == len(output["scores"])


def flat_values(record: Any) -> Iterator[Any]:
    if isinstance(record, dict):
        for value in record.values():
            yield from flat_values(value)
    else:
        yield record


@by_profile
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(titles=st.lists(st.lists(HOSTILE, min_size=1, max_size=K), min_size=1, max_size=8))
def test_hostile_lists_pass_or_are_named(titles: list[list[str]], name: str) -> None:
    check_hostile(
        {hostile_own_id(n, texts[0], name): hostile_items(texts) for n, texts in enumerate(titles)},
        name,
    )


@by_profile
def test_2000_hostile_lists_pass_or_are_named(name: str) -> None:
    chance = random.Random(20260301)

    def text() -> str:
        some = chance.choices(BY_HAND[:-2], k=chance.randrange(4))
        return "".join([*some, *(chr(chance.randrange(1, 0xD800)) for _ in range(5))])

    lists = {
        hostile_own_id(n, "" if n % 4 else text(), name): hostile_items(
            [text() for _ in range(chance.randrange(1, K + 1))]
        )
        for n in range(2000)
    }
    done = check_hostile(lists, name)
    assert done.counts["exported"] >= 900
    if profile_named(name).file.rows < 2000 and profile_named(name).file.rows:
        assert len(done.made.files) > 1


def test_lengths_are_counted_as_java_counts_them() -> None:
    title = PROFILES["braze"].item_columns[1]
    assert units("🍵") == 2
    assert fault_of(title, "🍵" * 128) == "longer than 255 characters"
    assert fault_of(title, "🍵" * 127) is None
    assert shortened(title, "🍵" * 128) == "🍵" * 127 + "…"
    by_bytes = PROFILES["mailchimp"].item_columns[1]
    assert shortened(by_bytes, "é" * 200) == "é" * 126 + "…"
    # Not half of a family.
    assert shortened(title, "x" * 252 + "👩\u200d👧") == "x" * 252 + "👩…"


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("=1", "'=1"),
        ("  @x", "'  @x"),
        ("＝1", "'＝1"),
        ("a;=1", "a;'=1"),
        ("Tea, -20 %", "Tea,' -20 %"),
        ("a-b+c", "a-b+c"),
        ("'=1", "'=1"),
    ],
)
def test_formulas_are_made_text(given: str, safe: str) -> None:
    for rule in (FORMULA_AT_START, FORMULA_INSIDE):
        given = rule.regex.sub(rule.by, given)
    assert given == safe


@by_profile
def test_a_profile_is_whole(name: str) -> None:
    profile = profile_named(name)
    assert profile.name == name
    assert profile.key.is_id or profile.key_is_text
    assert profile.item_columns[0].fact.value == "item_id"
    if profile.file.form is Form.CSV:
        width = 1 + len(profile.columns) + profile.most_items * len(profile.item_columns)
        assert width <= {"customerio": 100, "iterable": 350, "hubspot": 999}.get(name, 5000)
    else:
        assert profile.left is Left.CLEARED
