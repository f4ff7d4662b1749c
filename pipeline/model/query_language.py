"""Which of a model's languages a sentence is in, however short it is.

py3langid chooses among the model's languages only: for three words that is what makes it right more
often than not. A sentence in another language gets the nearest of them. Reads its model (4.6 MB,
inside the package) at each call, 0.4 s: for a person at a command line, not for a night.
"""

from __future__ import annotations

from collections.abc import Iterable


def query_language(text: str, languages: Iterable[str]) -> str | None:
    """A primary language tag, or none where the model has no language that can be told.

    Args:
        languages: the model's, as tags.
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = set(identifier.nb_classes)
    may_be = sorted({tag.partition("-")[0] for tag in languages} & known)
    if not may_be or not any(letter.isalpha() for letter in text):
        return None
    identifier.set_languages(may_be)
    return str(identifier.classify(text)[0])
