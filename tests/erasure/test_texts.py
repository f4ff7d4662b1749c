"""What is taken out of files that are no tables, and what of a table is found."""

from __future__ import annotations

import bz2
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.erasure.tables import rows_with_users, write_without
from pipeline.erasure.texts import without_users
from pipeline.erasure.wanted import Wanted
from pipeline.pseudonym import pseudonym

KEY = b"k" * 32
ANN, BOB = "ann-77410", "17"
WANTED = Wanted.of_ids([ANN, BOB, "events", "EVENTS", "178501234"], KEY)
HASH, HASH_OF_BOB = (pseudonym(name, KEY) for name in (ANN, BOB))
OTHER = pseudonym("dot", KEY)
SAID = 'A "zorbly" kettle.'

CASES = {
    "lines": ("a.log", f"one\n{HASH} two\nthree\n", "one\nthree\n"),
    "an id in clear": (
        "a.jsonl",
        f'{{"user": "{ANN}"}}\n{{"user": "{ANN}0"}}\n',
        f'{{"user": "{ANN}0"}}\n',
    ),
    "an id that may be any number": ("a.log", "17 rows\n", None),
    "its pseudonym is found": ("a.log", f"{HASH_OF_BOB}\n17 rows\n", "17 rows\n"),
    "an id that is a word": ("a.log", "what EVENTS there are\n", None),
    "an id that is a number in JSON": ("a.json", '{"bytes": 178501234}', None),
    "an id in a sealed file": ("a.json", f'{{"of": "{ANN}", "seal": "{"0" * 64}"}}', None),
    "in longer digits": ("a.log", f"{OTHER}{HASH}\n{OTHER}\n", f"{OTHER}\n"),
    "rows, a line break in quotes": (
        "a.csv",
        f'user_id,title\n{HASH},"a\nb"\n{OTHER},"c\nd"\n',
        f'user_id,title\n{OTHER},"c\nd"\n',
    ),
    "a sentence for somebody else": (
        "a.csv",
        f'user_id,reason\n{OTHER},"A ""zorbly"" kettle."\n',
        f"user_id,reason\n{OTHER},\n",
    ),
    "a sentence in a page": ("a.html", "<p>A &#34;zorbly&#34; kettle.", "nightcart redo"),
    "json": (
        "a.json",
        f'{{"n": 1, "of": ["{HASH}", "{OTHER}"]}}',
        f'{{\n "n": 1,\n "of": [\n  "(erased)",\n  "{OTHER}"\n ]\n}}\n',
    ),
    "no json after all": ("a.json", f"{HASH}", ""),
    "packed": ("a.log.bz2", bz2.compress(HASH.encode()), ""),
    "bytes": ("a.bin", b"\0\1" + HASH.encode() + b"\2", ""),
    "bytes with an id by chance": ("a.bin", b"\0\1" + ANN.encode() + b"\2", None),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_without_them(case: str) -> None:
    name, content, expected = CASES[case]
    given = content if isinstance(content, bytes) else content.encode()
    changed = without_users(name, given, WANTED, {SAID})
    if expected is None:
        assert changed is None
        return
    assert changed is not None
    made = None if changed.content is None else changed.content.decode()
    if expected == "":
        assert made is None, "a file that cannot be written again goes"
    elif name.endswith(".html"):
        assert made is not None
        assert expected in made
        assert "zorbly" not in made
    else:
        assert made == expected


@pytest.mark.parametrize(
    ("kind", "held", "free"),
    [
        (pa.string(), HASH, OTHER),
        (pa.string(), f"see {HASH} there", f"see {OTHER} there, {ANN}"),
        (pa.large_binary(), HASH.encode(), OTHER.encode()),
        (pa.dictionary(pa.int32(), pa.string()), HASH, OTHER),
        (pa.list_(pa.string()), [OTHER, HASH], [OTHER, OTHER]),
        (
            pa.struct([("a", pa.list_(pa.struct([("b", pa.string())])))]),
            {"a": [{"b": HASH}]},
            {"a": [{"b": OTHER}]},
        ),
        (pa.map_(pa.string(), pa.string()), [(OTHER, HASH)], [(OTHER, OTHER)]),
    ],
)
def test_rows_are_found_however_deep(
    tmp_path: Path, kind: pa.DataType, held: object, free: object
) -> None:
    rows = pa.table({"n": range(6), "of": pa.array([free, held, None, free, held, free], kind)})
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=2)
    assert rows_with_users(tmp_path / "a.parquet", WANTED, ids=False).rows == 2
    assert write_without(tmp_path / "a.parquet", tmp_path / "b.parquet", WANTED, ids=False) == 2
    made = pq.ParquetFile(tmp_path / "b.parquet")
    assert made.read()["n"].to_pylist() == [0, 2, 3, 5]
    assert made.metadata.num_row_groups == 3
    assert rows_with_users(tmp_path / "b.parquet", WANTED, ids=False).users == frozenset()


def test_of_quarantine_only_values_of_the_refused_row_may_be_ids(tmp_path: Path) -> None:
    raw = [f'{{"user": "{ANN}"}}', '{"user": 178501234}', f'{{"{ANN}": 1}}', f"{ANN} cut", "{}"]
    rows = pa.table({"n": range(5), "file": ["178501234.jsonl"] * 5, "raw": raw})
    pq.write_table(rows, tmp_path / "a.parquet")
    assert write_without(tmp_path / "a.parquet", tmp_path / "b.parquet", WANTED, ids=True) == 3
    assert pq.ParquetFile(tmp_path / "b.parquet").read()["n"].to_pylist() == [2, 4]


def test_nobody_is_found_in_a_table_without_texts(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "a.parquet")
    hits = rows_with_users(tmp_path / "a.parquet", WANTED, ids=True)
    assert (hits.rows, hits.of) == (0, 2)
