"""The files of an export as text, for golden files; `python -m tests.exports.golden` writes these.

Each line is in quotation marks with its escapes, so that line ends and byte order marks are seen.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.exports.profiles import PROFILES
from pipeline.lake import Lake
from pipeline.settings import load_settings
from tests.exports.conftest import NIGHT, Shop, item

FOLDER = Path(__file__).parent / "golden"
HOSTILE = [
    item("i1", 'Tea, "green"\r\nfor 🍵 \u0000lovers'),
    item("i2", "=HYPERLINK(A1)", price=None, score=-1.25),
    item("i3", "Kanne " + "sehr " * 60, price=1234.5, score=-2.0),
]


def golden(shop: Shop, name: str) -> str:
    """Three shoppers, of whom one the tool refuses or nobody knows; a fourth has left."""
    own = [f"{n}@shop.example" for n in (1001, 1002, 1003, 1004)]
    if name != "mailchimp":
        own = [who.partition("@")[0] for who in own]
    shop.publish({own[0]: [item("i1", "Tea")], own[3]: [item("i1", "Tea")]})
    shop.export(name, known=own)
    shop.publish({own[0]: [item("i9", None)], own[1]: HOSTILE, own[2]: [item("i1", "Tea")]}, NIGHT)
    done = shop.export(name, known=own[:2])
    lines = []
    for path in [*done.made.files, done.made.path / "notes.csv"]:
        lines.append(f"== {path.name}")
        if path.suffix == ".parquet":
            lines += [json.dumps(row) for row in pq.read_table(path).to_pylist()]
        else:
            text = path.read_bytes().decode()
            lines += [ascii(line) for line in text.splitlines(keepends=True)]
    lines += ["== counts", json.dumps(done.counts), json.dumps(done.made.manifest["notes"])]
    return "\n".join(lines) + "\n"


def fixed_key(settings_key: Path) -> None:
    """The same pseudonyms each time."""
    settings_key.write_text("0" * 64)
    settings_key.chmod(0o600)


def main() -> None:
    """Write every golden file."""
    for name in PROFILES:
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            settings = load_settings(
                None,
                {
                    "NIGHTCART_PATHS__LAKE": str(base / "lake"),
                    "NIGHTCART_PATHS__RAW": str(base / "raw"),
                    "NIGHTCART_PRIVACY__KEY_FILE": str(base / "key"),
                },
            )
            fixed_key(base / "key")
            settings = dataclasses.replace(settings)
            text = golden(Shop(Lake(settings.paths.lake), settings), name)
        (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
