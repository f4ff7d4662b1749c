"""Every search that can be typed in the simulated shop, numbered, by language and category."""

from __future__ import annotations

import numpy as np

from pipeline.simulator.assortment import BRANDS, CATEGORIES
from pipeline.simulator.catalogue import Floats, Ints
from pipeline.simulator.lexicon import LANGUAGES, load_lexicon

_BY_BRAND_SHARE = 0.3


class QueryBook:
    """`text[n]` is the n-th query. Draws need no strings, so a day's searches are one array."""

    def __init__(self) -> None:
        self.text: list[str] = []
        shape = (len(LANGUAGES), len(CATEGORIES))
        self._first = np.zeros(shape, dtype=np.int64)
        self._count = np.zeros(shape, dtype=np.int64)
        self._by_brand = np.zeros((*shape, len(BRANDS)), dtype=np.int64)
        for language, code in enumerate(LANGUAGES):
            words = load_lexicon(code)
            for index, category in enumerate(CATEGORIES):
                found = words.searches(category.key, category.aspects)
                self._first[language, index] = len(self.text)
                self._count[language, index] = len(found)
                self.text += found
                self._by_brand[language, index] = len(self.text) + np.arange(len(BRANDS))
                self.text += [f"{brand.name} {words.noun(category.key)}" for brand in BRANDS]

    def draw(self, language: Ints, category: Ints, brand: Ints, uniform: Floats) -> Ints:
        """One query each; `uniform` decides between naming the brand and naming the need."""
        by_need = self._first[language, category] + (
            uniform / (1 - _BY_BRAND_SHARE) * self._count[language, category]
        ).astype(np.int64)
        by_brand = self._by_brand[language, category, brand]
        return np.where(uniform < 1 - _BY_BRAND_SHARE, by_need, by_brand)
