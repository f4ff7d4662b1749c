"""How a source's text files are written: the `options` of a dataset, checked and spelled one way.

Encodings may be written as Python or Java name them ("latin-1", "windows-1252", "UTF-16"); they
are kept under Python's name, and `java_charset` gives Spark's. Standard library only.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any

from pipeline.errors import ContractError
from pipeline.sources.yaml_entries import checked

FORMATS: dict[str, tuple[str, ...]] = {
    "csv": ("delimiter", "quote", "escape", "encoding", "header", "multiline", "comment"),
    "jsonl": ("encoding",),
    "parquet": (),
}
UTF_8 = "utf-8"
COMPRESSED = (".gz", ".zst", ".bz2")  # what may stand behind a text file's name

_SWITCHES = ("header", "multiline")
_ONE_CHARACTER = ("quote", "escape", "comment")  # quote may also be empty: there are no quotes
_ESCAPES = {"\\t": "\t", "\\0": "\x00", "\\x01": "\x01", "\\u0001": "\x01"}
# Where Java has no alias that is spelled as Python's own name.
_JAVA = {
    "utf-16-le": "UTF-16LE",
    "utf-16-be": "UTF-16BE",
    "utf-32-le": "UTF-32LE",
    "utf-32-be": "UTF-32BE",
    "mac-roman": "x-MacRoman",
    "euc_jp": "EUC-JP",
    "euc_kr": "EUC-KR",
}


def options_of(given: Any, file_format: str, where: str) -> dict[str, str]:
    """The options as texts.

    Raises:
        ContractError: an option is unknown, or has a value that no reader could use.
    """
    options = checked(given, FORMATS[file_format], where)
    texts: dict[str, str] = {}
    for key, value in options.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if key in _SWITCHES and text not in ("true", "false"):
            raise ContractError(f"{where}: {key} must be true or false, found {value!r}")
        if key == "encoding":
            text = _encoding(text, file_format, where)
        text = _ESCAPES.get(text, text)
        empty_is_none = key in ("quote", "comment") and not text
        if key in _ONE_CHARACTER and len(text) != 1 and not empty_is_none:
            raise ContractError(f"{where}: {key} must be one character, found {value!r}")
        if key == "delimiter" and (not text or set(text) & set("\r\n")):
            raise ContractError(f"{where}: delimiter cannot be {value!r}")
        texts[key] = text
    return {key: text for key, text in texts.items() if text or key == "quote"}


def ends_lines_as_ascii(encoding: str) -> bool:
    """Whether a line ends at the bytes where an ASCII text's would: not in UTF-16 or UTF-32."""
    return "\r\n".encode(encoding) == b"\r\n"


def without_compression(name: str) -> str:
    """A file's name as it would be if it were not compressed."""
    ending = next((ending for ending in COMPRESSED if name.endswith(ending)), "")
    return name.removesuffix(ending)


def java_charset(encoding: str) -> str:
    """The name by which Java knows an encoding."""
    return _JAVA.get(encoding, encoding)


def _encoding(text: str, file_format: str, where: str) -> str:
    try:
        name = codecs.lookup(text).name
        as_ascii = ends_lines_as_ascii(name)
    except (LookupError, UnicodeError, TypeError, AttributeError):
        raise ContractError(
            f"{where}: encoding {text!r} is unknown; write one such as utf-8, windows-1252, "
            "iso-8859-15, utf-16, gb18030 or shift_jis"
        ) from None
    if file_format == "jsonl" and not as_ascii:
        raise ContractError(
            f"{where}: encoding {text!r}: JSON Lines cannot be read in it; JSON is to be "
            "exchanged in UTF-8 (RFC 8259)"
        )
    return UTF_8 if name == "utf-8-sig" else name


def null_words_of(entry: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The words that stand for no value, exactly as they are written."""
    value = entry.get("null_words", [])
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ContractError(
            f"{where}: null_words must be a list of quoted words such as ['NULL', 'n/a'], "
            f"found {value!r:.80}"
        )
    return tuple(value)
