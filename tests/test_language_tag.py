"""One reading of a language tag, whatever a retailer writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.language_tag import UNKNOWN, primary_language, tag_and_primary


@pytest.mark.parametrize(
    ("tag", "tags"),
    [
        ("de", ("de",)),
        ("en-GB", ("en-gb", "en")),
        ("zh-Hans-CN", ("zh-hans-cn", "zh")),
        ("DE_at", ("de-at", "de")),
        (" de", ("de",)),
        ("\tpt_BR\n", ("pt-br", "pt")),
        ("gsw-CH", ("gsw-ch", "gsw")),
        ("sl-rozaj-biske", ("sl-rozaj-biske", "sl")),
        ("en-a-myext", ("en-a-myext", "en")),
        ("und", ("und",)),
        ("und-Latn", ("und-latn", "und")),
        # A primary language, and then what is no subtag.
        ("en_US.UTF-8", ("en",)),
        ("en-", ("en",)),
        ("en--GB", ("en",)),
        # No tag.
        (None, ()),
        ("", ()),
        ("  ", ()),
        ("english", ()),
        ("English (UK)", ()),
        ("Deutsch", ()),
        ("x-klingon", ()),
        ("i-default", ()),
        ("d", ()),
        ("???", ()),
        ("-de", ()),
        ("中文", ()),
        ("ｄｅ", ()),
        ("en,de", ()),
    ],
)
def test_tags_by_hand(tag: str | None, tags: tuple[str, ...]) -> None:
    assert tag_and_primary(tag) == tags
    assert primary_language(tag) == (tags[-1] if tags else UNKNOWN)


@given(st.text(max_size=12) | st.from_regex(r"[A-Za-z]{1,9}([-_][A-Za-z0-9]{0,9}){0,2}"))
def test_what_is_read_is_read_the_same_again(tag: str) -> None:
    for name in (primary_language(tag), *tag_and_primary(tag)):
        assert primary_language(name) == primary_language(tag)
        assert name in tag_and_primary(name)
        assert name.isascii()
        assert name == name.lower().strip()


def test_case_hyphens_and_white_space_mean_nothing() -> None:
    for tag in ("zh-Hans-CN", "de-AT", "en"):
        for written in (tag.upper(), tag.lower(), tag.replace("-", "_"), f" {tag}\r\n"):
            assert tag_and_primary(written) == tag_and_primary(tag)
