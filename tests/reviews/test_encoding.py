"""Mixed-up encodings are put right; what is fine stays, to the character."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.reviews.encoding import looks_broken, repaired, repaired_column
from pipeline.reviews.language import language_column

FINE = [
    "It’s “great” — 5 € for a naïve café…",
    "Größe über Straße, ÄÖÜ ß «oui» Ça va, Ñandú ¿qué? ¡sí! œuvre Ÿ",
    "音质非常好，电池很耐用。",
    "とても静かです。",
    "Очень тихий чайник, ёлка № 5",
    "الصوت رائع جدا",
    "שקט מאוד",
    "ดีมาก",
    "조용하고 좋아요",
    "Ελληνικά Ώρα",
    "Tiếng Việt rất tốt, ĐẸP",
    "Łódź Žižek Ðorđe Þór Århus",
    "🎸👩‍👩‍👧 ☎️ ½ × 2 ÷ 3 ± 1°",
    "ＦＵＬＬ　ＷＩＤＴＨ ﬁne",
    "line\r\nbreak\ttab\u00a0nbsp",
    "&amp; &eacute; <b>",
    "A MAÇÃ É BOA, MINHA IRMÃ ADOROU. LÃ MACIA",
    "POSÉE À CÔTÉ, TÂCHE À FAIRE",
    "lost \ufffd\ufffd bytes",
    "",
]
BROKEN = ["Größe über Straße", "café", "It’s “great”…", "naïve — 5 €", "音质非常好", "très élégant"]


@pytest.mark.parametrize("text", FINE)
def test_fine_text_stays(text: str) -> None:
    assert repaired(text) == text


@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize("read_as", ["windows-1252", "latin-1"])
def test_a_wrong_decoding_is_undone(text: str, read_as: str) -> None:
    wrong = "".join(
        bytes([byte]).decode(read_as, errors="ignore") or chr(byte) for byte in text.encode()
    )
    assert wrong != text
    assert repaired(f"{wrong} {wrong}") == f"{text} {text}"
    assert repaired(repaired(f"{wrong} {wrong}")) == f"{text} {text}"


def test_spark_repairs_what_python_would_and_nothing_else(
    spark: SparkSession, shared_data: Path
) -> None:
    naughty = json.loads((shared_data / "hostile_strings" / "blns.json").read_text("utf-8"))
    wrong = [text.encode().decode("latin-1") for text in [*BROKEN, *FINE]]
    texts = [*FINE, *BROKEN, *wrong, *(text.replace("\x00", "") for text in naughty)]
    frame = spark.createDataFrame(list(enumerate(texts)), "n int, text string").repartition(2)
    rows = (
        frame.select(
            "n",
            repaired_column(F.col("text")).alias("now"),
            looks_broken(F.col("text")).alias("suspicious"),
            language_column(F.lit(None).cast("string"), F.col("text")).alias("language"),
        )
        .orderBy("n")
        .collect()
    )
    assert [row["now"] for row in rows] == [repaired(text) for text in texts]
    # A clean text is not even shown to Python.
    assert sum(row["suspicious"] for row in rows[: len(FINE)]) <= 3
    assert {row["language"] for row in rows} >= {"de", "en", "zh", None}
    assert [text for text in naughty if repaired(text) != text] == []
