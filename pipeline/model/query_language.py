"""Which of a model's languages a sentence is in, however short it is.

py3langid chooses among the model's languages only; without that it is often wrong on three words. A
sentence in another language gets the nearest of them. Each call reads py3langid's model (4.6 MB,
inside the package), which takes 0.4 s: this is for a command line, not for a night.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.language_tag import primary_language


def query_language(text: str, languages: Iterable[str]) -> str | None:
    """A primary language tag, or none where py3langid knows none of the model's languages.

    Args:
        languages: the model's, as tags.
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = set(identifier.nb_classes)
    may_be = sorted({primary_language(tag) for tag in languages} & known)
    if not may_be or not any(letter.isalpha() for letter in text):
        return None
    identifier.set_languages(may_be)
    return str(identifier.classify(text)[0])
