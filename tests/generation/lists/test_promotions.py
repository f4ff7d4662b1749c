"""The file of promotions: what it may say, and who is meant."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.generation.lists.promotions import read_promotions

NIGHT = dt.date(2026, 3, 1)
SPRING = """
[[promotion]]
name = "spring"
items = ["A-1", "A-2"]
slot = 3
from = 2026-03-01
until = 2026-03-02
languages = ["de"]
regions = ["AT"]
categories = ["Care > Brushes"]
"""


def read(tmp_path: Path, text: str, night: dt.date = NIGHT):  # type: ignore[no-untyped-def]
    (tmp_path / "promotions.toml").write_text(text)
    return read_promotions(str(tmp_path / "promotions.toml"), night, 10)


def test_no_path_is_no_promotion() -> None:
    assert read_promotions("", NIGHT, 10) == ()


def test_a_promotion_runs_from_its_first_night_to_its_last(tmp_path: Path) -> None:
    days = [NIGHT + dt.timedelta(days=n) for n in range(-1, 3)]
    assert [len(read(tmp_path, SPRING, day)) for day in days] == [0, 1, 1, 0]


def test_who_is_meant(tmp_path: Path) -> None:
    [spring] = read(tmp_path, SPRING)
    past = {"Care > Brushes", "Toys"}
    assert spring.is_for("de-AT", "AT", past)
    assert spring.is_for(" DE_at", "AT", past)
    assert not spring.is_for("en", "AT", past)
    assert not spring.is_for("deutsch", "AT", past)
    assert not spring.is_for(None, "AT", past)
    assert not spring.is_for("de", None, past)
    assert not spring.is_for("de", "AT", {"Toys"})
    [unknown] = read(tmp_path, SPRING.replace('"de"', '"und"'))
    assert unknown.is_for(None, "AT", past)
    assert unknown.is_for("deutsch", "AT", past)
    assert not unknown.is_for("de", "AT", past)
    [everybody] = read(tmp_path, '[[promotion]]\nname = "a"\nitems = ["x"]\nslot = 1\n')
    assert everybody.is_for(None, None, set())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[promotion", "cannot read"),
        ("[promotion]\n", r"expected tables \[\[promotion\]\] only"),
        ("slot = 1\n", r"expected tables \[\[promotion\]\] only"),
        ('[[promotion]]\nitems = ["x"]\nslot = 1\n', "promotion 1: name is missing"),
        ('[[promotion]]\nname = "a"\nitems = []\nslot = 1\n', "promotion 1: items is missing"),
        ('[[promotion]]\nname = "a"\nitem = ["x"]\n', "unknown key 'item'; did you mean 'items'"),
        ('[[promotion]]\nname = "a"\nitems = "x"\nslot = 1\n', "items must be a list of texts"),
        ('[[promotion]]\nname = "a"\nitems = [1]\nslot = 1\n', "items must be a list of texts"),
        ('[[promotion]]\nname = "a"\nitems = ["x"]\nslot = "1"\n', "slot must be a int"),
        ('[[promotion]]\nname = "a"\nitems = ["x"]\nslot = 11\n', "from 1 to generation.k = 10"),
        ('[[promotion]]\nname = "a"\nitems = ["x"]\nslot = 1\nfrom = "x"\n', "from must be a date"),
        (SPRING.replace('"de"', '"german"'), "languages must be BCP 47 tags .* found 'german'"),
        (SPRING + SPRING, "two promotions have the name 'spring'"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"generation\.promotions: cannot read .*none\.toml"):
        read_promotions(str(tmp_path / "none.toml"), NIGHT, 10)
