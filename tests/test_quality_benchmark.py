"""The benchmark of quality on a data set by hand: what is held out, and one whole run of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from benchmarks.quality import main
from benchmarks.quality_data import histories, read_dataset
from pipeline.errors import InputError


def write_dataset(directory: Path, n_users: int = 30, n_items: int = 12) -> Path:
    """Users walk along a ring of items; rows are written out of order."""
    rows = [
        (f"u{user}", f"i{(user + place) % n_items}", place)
        for place in range(5)
        for user in reversed(range(n_users))
    ]
    with (directory / "interactions.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("user_id", "item_id", "position"), *reversed(rows)])
    with (directory / "items.csv").open("w", encoding="utf-8", newline="") as file:
        attributes = json.dumps(["Kitchen", "Kettles"])
        csv.writer(file).writerows(
            [
                ("item_id", "title", "attributes_json"),
                *((f"i{item}", f"Kettle {item % 3}", attributes) for item in range(n_items)),
            ]
        )
    return directory


def test_the_last_item_is_the_test_and_the_one_before_it_the_validation(tmp_path: Path) -> None:
    data = read_dataset(write_dataset(tmp_path))
    assert data.pasts["u0"] == ("i0", "i1", "i2", "i3", "i4")
    assert data.catalogue[1].category == "Kitchen > Kettles"
    validation, test = (
        {user.user_id: user for user in histories(data.pasts, n)}["u0"] for n in (2, 1)
    )
    # What the validation's histories hold is all that a strict model is ever given.
    assert validation.known_items == ("i0", "i1", "i2")
    assert validation.held_out_item == "i3"
    assert "i4" not in validation.item_ids
    assert test.known_items == ("i0", "i1", "i2", "i3")
    assert test.held_out_item == "i4"
    (short,) = histories({"u": ("a", "b")}, 1)
    assert short.known_items == ("a", "b")
    assert short.holdout_split is None


def written(directory: Path, interactions: str, items: str = "") -> Path:
    (directory / "interactions.csv").write_text(interactions, encoding="utf-8")
    if items:
        (directory / "items.csv").write_text(items, encoding="utf-8")
    return directory


def test_any_log_of_interactions_can_be_read(tmp_path: Path) -> None:
    data = read_dataset(
        written(
            tmp_path,
            "item_id\tuser_id\ttimestamp\tprice\n"
            "b\tu\t2026-03-02T10:00:00\t1\n"
            "a\tu\t2026-03-01\t2\n"
            "c\tu\t2026-03-02T10:00:00Z\t3\n"
            "a\tv\t1e9\t\n",
            "item_id,brand,category,title\na,Acme,Kitchen > Kettles,Kettle\nunmet,,,\n",
        )
    )
    assert data.pasts == {"u": ("a", "b", "c"), "v": ("a",)}
    assert [item.item_id for item in data.catalogue] == ["a", "b", "c"]
    assert data.catalogue[0].description == "Kettle Acme Kitchen > Kettles"


@pytest.mark.parametrize(
    ("interactions", "items", "said"),
    [
        (
            "user,item_id,position\n",
            "",
            r"interactions.csv lacks user_id; its header has user, item_id",
        ),
        ("user_id,item_id,position\nu,a,first\n", "", r"line 2: position is 'first'"),
        ("user_id,item_id,position\nu,a,1\nu,,2\n", "", r"line 3: user_id or item_id is empty"),
        ("user_id,item_id\nu,a\n", "", r"line 2: neither position nor timestamp"),
        ("user_id,item_id,position\nu,a,1\nu,b,2\n", "", r"1 users, none .* three interactions"),
        (
            "user_id,item_id,position\nu,a,1\nu,b,2\nu,c,3\n",
            "item_id,attributes_json\na,[Kitchen]\n",
            r"items.csv, line 2: attributes_json is no JSON list: '\[Kitchen\]'",
        ),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, interactions: str, items: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_dataset(written(tmp_path, interactions, items))


def test_a_directory_without_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dataset", str(tmp_path / "none")]) == 65
    assert "--dataset takes a directory with interactions.csv" in capsys.readouterr().err


def test_a_whole_run_and_a_second_one_from_kept_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, kept = tmp_path / "ring", tmp_path / "kept"
    data.mkdir()
    asked = ["--dataset", str(write_dataset(data)), "--seeds", "1", "--mask", "--keep", str(kept)]
    for change in ("training.max_epochs=2", "model.n_embd=16", "training.batch_tokens=32"):
        asked += ["--set", change]
    found = []
    for _ in range(2):
        assert main([*asked, "--networks"] if not found else asked) == 0
        found.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    first, second = ({row["model"] + row["protocol"]: row for row in f["means"]} for f in found)
    # Here what comes next is always the next item of the ring.
    assert first["first-order chainstrict"]["recall@10"] == 1
    assert first["gpt2+priorrefit"]["ndcg@10"] >= first["gpt2refit"]["ndcg@10"]
    assert {"plain gpt2strict", "grustrict", "item-kNNstrict", "popularityrefit"} <= first.keys()
    assert second["gpt2+priorrefit"] == first["gpt2+priorrefit"]
