"""Files that cannot be read to their end are found, by name, with what was readable of them."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ContractError, InputError
from pipeline.sources.dialect import java_charset, options_of
from pipeline.sources.file_checks import check_files
from pipeline.sources.source import SourceDataset

ROWS = "".join(f"{n},{'value ' * 9}{n}\n" for n in range(5000))
TEXT = f"n,v\n{ROWS}".encode()
GZ, BZ2 = gzip.compress(TEXT, mtime=0), bz2.compress(TEXT)
ZST = bytes(pa.Codec("zstd").compress(TEXT))


def _changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def _dataset(name: str, **options: str) -> SourceDataset:
    kind = "parquet" if "parquet" in name else "csv"
    return SourceDataset("events", name, kind, ("n", "v"), {}, delivery="dump", options=options)


def _damage(folder: Path, name: str, data: bytes, **options: str) -> tuple[str, int] | None:
    (folder / name).write_bytes(data)
    dataset = _dataset(name, **options)
    found = check_files(dataset, dataset.pattern.files(folder))
    if not found:
        return None
    (fault,) = found
    assert str(fault).startswith(str(folder / name))
    return fault.fault, fault.readable_rows


WHOLE = {
    "a.csv": TEXT,
    "a.csv.gz": GZ,
    "a.csv.zst": ZST,
    "a.csv.bz2": BZ2,
    "two.csv.gz": GZ + gzip.compress(ROWS.encode()),
    "two.csv.zst": ZST + bytes(pa.Codec("zstd").compress(ROWS.encode())),
}
DAMAGED = {
    "cut.csv.gz": GZ[: len(GZ) // 2],
    "a byte short.csv.gz": GZ[:-1],
    "no checksum.csv.gz": GZ[:-8],
    "wrong checksum.csv.gz": _changed(GZ, len(GZ) - 6),
    "changed.csv.gz": _changed(GZ, len(GZ) // 2),
    "followed.csv.gz": GZ + b"something",
    "padded.csv.gz": GZ + bytes(512),
    "not compressed.csv.gz": TEXT,
    "cut.csv.zst": ZST[: len(ZST) // 2],
    "a byte short.csv.zst": ZST[:-1],
    "not compressed.csv.zst": TEXT,
    "cut.csv.bz2": BZ2[: len(BZ2) // 2],
    "wrong name.csv": ZST,
}


def test_whole_files_have_no_damage(tmp_path: Path) -> None:
    """Compressed in one piece or in several."""
    for name, data in WHOLE.items():
        assert _damage(tmp_path, name, data) is None, name


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_compressed_file_is_found(tmp_path: Path, name: str) -> None:
    """Wherever it broke; rows are counted up to there."""
    found = _damage(tmp_path, name, DAMAGED[name])
    assert found is not None
    assert 0 <= found[1] <= 5000
    said = {"followed": "other bytes lie behind", "padded": "other bytes lie behind"}
    said |= {
        "not compressed": "it is no gzip data" if name.endswith("gz") else "it is no zstd data"
    }
    assert said.get(name.split(".")[0], "") in found[0]
    if name == "no checksum.csv.gz":
        assert found[1] > 4000


def test_a_damaged_parquet_file_is_found(tmp_path: Path) -> None:
    """A cut footer, and a changed byte of a page."""
    path = tmp_path / "whole.parquet"
    table = pa.table({"n": [str(n) for n in range(9000)], "v": ["value"] * 9000})
    pq.write_table(table, path, row_group_size=3000, write_page_checksum=True, compression="none")
    whole = path.read_bytes()
    assert _damage(tmp_path, "whole.parquet", whole) is None
    for name, data in {
        "no footer.parquet": whole[:-20],
        "cut.parquet": whole[: len(whole) // 2],
        "empty.parquet": b"",
        "text.parquet": TEXT,
    }.items():
        found = _damage(tmp_path, name, data)
        assert found is not None
        assert "is not the Parquet file that" in found[0]
        assert found[1] == 0
    group = pq.ParquetFile(path).metadata.row_group(1).column(0)
    at = group.data_page_offset + group.total_compressed_size // 2
    found = _damage(tmp_path, "changed.parquet", _changed(whole, at))
    assert found is not None


def test_a_file_that_may_not_be_opened_is_damaged(tmp_path: Path) -> None:
    """Also a name that leads nowhere."""
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere")
    dataset = _dataset("gone.csv")
    assert dataset.pattern.files(tmp_path) == []  # not there: not delivered


def test_a_quotation_mark_that_nobody_closes_is_damage(tmp_path: Path) -> None:
    """In a multi-line file it would swallow the rest; one that is closed at the end is none."""
    multi = {"multiline": "true"}
    whole = b'n,v\n1,"two\nlines ""quoted"""\n2,"last\none"'
    assert _damage(tmp_path, "a.csv", whole, **multi) is None
    assert _damage(tmp_path, "b.csv", whole + b"\n", **multi) is None
    assert _damage(tmp_path, "c.csv", b'n,v\n1,5" pipe\n2,x\n', **multi) is None
    found = _damage(tmp_path, "d.csv", b'n,v\n1,a\n2,"b\n3,c\n4,d\n', **multi)
    assert found is not None
    assert "opened and not closed: 3 lines" in found[0]
    assert found[1] == 1
    found = _damage(tmp_path, "e.csv", b'n,v\n1,a\n2,"' + TEXT, **multi)
    assert found is not None
    assert found[1] == 1


def test_a_few_strange_bytes_are_dirt_and_many_another_encoding(tmp_path: Path) -> None:
    """One bad line of five thousand is not worth a night; a Latin-1 file read as UTF-8 is."""
    one = TEXT.replace(b"7,value", b"7,valu\xe9", 1)
    assert _damage(tmp_path, "one.csv", one) is None
    assert _damage(tmp_path, "nul.csv", TEXT.replace(b"7,value", b"7,val\x00e", 1)) is None
    latin = TEXT.replace(b"value", "välue".encode("latin-1"))
    found = _damage(tmp_path, "latin.csv", latin)
    assert found is not None
    assert "is not utf-8 text" in found[0]
    assert _damage(tmp_path, "latin.csv", latin, encoding="iso8859-1") is None
    assert _damage(tmp_path, "wide.csv", TEXT.decode().encode("utf-16"), encoding="utf-16") is None
    found = _damage(tmp_path, "bare.csv", TEXT.decode().encode("utf-16-le"), encoding="utf-16")
    assert found is not None
    assert "byte order mark" in found[0]


def test_a_header_is_looked_for_as_spark_does(tmp_path: Path) -> None:
    """Behind blank lines, comments and a byte order mark; with any delimiter, quoted or not."""
    for number, (data, options) in enumerate(
        (
            (b"\xef\xbb\xbf\r\n#c\r\nn,v\r\n1,x\r\n", {"comment": "#"}),
            (b"n||v\n1||x\n", {"delimiter": "||"}),
            (b'"n"\t"v"\n1\tx\n', {"delimiter": "\t"}),
            (b"'n';'v'\n1;x\n", {"delimiter": ";", "quote": "'"}),
            (b'n|v\n1|"x\n', {"delimiter": "|", "quote": ""}),
        )
    ):
        assert _damage(tmp_path, f"{number}.csv", data, **options) is None
    with pytest.raises(InputError, match="names none of the columns n,v"):
        _damage(tmp_path, "w.csv", b'"n,v"\n1\n')
    with pytest.raises(InputError, match="case and blanks count: ' N' is not 'n'"):
        _damage(tmp_path, "case.csv", b"\xef\xbb\xbf N,v\n1,x\n")
    # A first row of data is not quoted: what would be the names are a shopper's.
    with pytest.raises(InputError, match="header: false") as caught:
        _damage(tmp_path, "none.csv", b"ann@example.com,4711\n")
    assert "ann" not in str(caught.value)


BAD_OPTIONS: dict[str, tuple[str, dict[str, object]]] = {
    "quote must be one character": ("csv", {"quote": "''"}),
    "delimiter cannot be": ("csv", {"delimiter": "\n"}),
    "encoding 'utf-88' is unknown": ("csv", {"encoding": "utf-88"}),
    "encoding 'base64' is unknown": ("csv", {"encoding": "base64"}),
    "JSON is to be exchanged in UTF-8": ("jsonl", {"encoding": "utf-16"}),
    "header must be true or false": ("csv", {"header": "no"}),
    "unknown key 'sep'": ("csv", {"sep": ";"}),
}


@pytest.mark.parametrize("message", BAD_OPTIONS)
def test_an_option_that_no_reader_could_use_is_refused(message: str) -> None:
    kind, options = BAD_OPTIONS[message]
    with pytest.raises(ContractError, match=message):
        options_of(options, kind, "here")


def test_encodings_go_by_any_name() -> None:
    """Python's and Java's; a tab may be written as people write it."""
    names: dict[str, str] = {
        "latin-1": "iso8859-1",
        "windows-1252": "cp1252",
        "UTF-16LE": "UTF-16LE",
        "utf-8-sig": "utf-8",
    }
    for given, java in names.items():
        assert java_charset(options_of({"encoding": given}, "csv", "")["encoding"]) == java
    options = options_of({"delimiter": "\\t", "comment": "", "quote": ""}, "csv", "here")
    assert options == {"delimiter": "\t", "quote": ""}
