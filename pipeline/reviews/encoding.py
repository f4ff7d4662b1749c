"""Texts that were decoded with a wrong encoding ("Ã©" for "é", "â€™" for "’") are repaired.

`looks_broken` is a column expression, so that Python sees only the few texts that need it;
`repaired` is ftfy's decoder, which undoes a wrong decoding where one explains the text and leaves a
text alone where none does. Everything else that ftfy can do (curly quotes, ligatures, full-width
letters, line breaks, normal forms, entities) is switched off: those are the writer's own.

Bytes that were no text come out of Spark's readers as U+FFFD. They are lost, and U+FFFD stays.
Gives up: mix-ups of encodings other than Windows-1252, Latin-1 and their kin of Europe and Russia;
a capital Ã or Â that stands alone between spaces is taken for half a character.
"""

from __future__ import annotations

import re

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

# How a byte 0x80 to 0xBF looks when it is read as Windows-1252, as Latin-1 or as Windows-1251.
_CONTINUES = r"[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸЂЃѓЉЊЌЋЏђљњќћџЎўЈҐЁЄЇІіґё№єјЅѕї]"
_UNLIKELY = re.compile(
    r"[^\x00-\u024f\u0300-\u06ff\u0900-\u097f\u0e00-\u0e7f\u1e00-\u218f\u2190-\u27ff"
    r"\u3000-\u9fff\uac00-\ud7a3\ufe00-\ufe0f\uff00-\uffef\U0001f000-\U0001faff]"
)
# How a first byte 0xC2 to 0xF4 looks, before one of those; or a control character of Latin-1.
_BROKEN = rf"[\u00c2-\u00f4\u0412-\u0444]{_CONTINUES}|[\u0080-\u009f]"


def looks_broken(text: Column) -> Column:
    """Whether a text may be broken: true for all that `repaired` changes, false for most others."""
    return F.coalesce(text.rlike(_BROKEN), F.lit(False))


def repaired(text: str) -> str:
    """The text with a wrong decoding undone; the text itself where none is found."""
    import ftfy

    config = ftfy.TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_encoding=True,
        restore_byte_a0=True,
        replace_lossy_sequences=True,
        decode_inconsistent_utf8=True,
        fix_c1_controls=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
    )
    found = str(ftfy.fix_encoding(text, config))
    # Two letters may look like a character of an unlikely script: "ßª" looks like N'Ko.
    return text if any(map(_UNLIKELY.match, set(found) - set(text))) else found


@F.udf(T.StringType(), useArrow=True)
def _repaired(text: str | None) -> str | None:
    return None if text is None else repaired(text)


def repaired_column(text: Column) -> Column:
    """The repaired text; Python gets nulls for the texts that need no repair."""
    return F.coalesce(_repaired(F.when(looks_broken(text), text)), text)
