"""The simulated catalogue: one array entry an item, fixed for the whole simulation.

Items are words (brand, adjective, noun, variant), a price, a popularity that falls off as Zipf's
law within the category, a true quality per aspect, a launch and perhaps a delisting day, and what
their buyers come back for. Prices and stock change by the day: see `market`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.simulator.assortment import BRANDS, CATEGORIES, CATEGORY_KEYS, MAX_ASPECTS
from pipeline.simulator.lexicon import Lexicon, load_lexicon
from pipeline.simulator.randomness import BEFORE_OPENING, stream

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

NOBODY = -1  # no item, no brand, never
NEVER = np.iinfo(np.int64).max

_LAUNCH_SHARE = 0.12
_LAUNCH_WINDOW_DAYS = 60
_DELIST_SHARE = 0.06
_DELIST_WINDOW_DAYS = 120
_VOLUMES = 4


@dataclass(frozen=True)
class Catalogue:
    """Arrays of length n_items; `follows_*` hold item numbers or `NOBODY`."""

    sku: list[str]
    title: list[str]
    category: Ints
    brand: Ints
    price: Floats
    popularity: Floats
    quality: Floats  # n_items x MAX_ASPECTS; NaN where the category has fewer aspects
    launch_day: Ints
    delist_day: Ints
    next_volume: Ints  # the next of the series
    companion: Ints  # n_items x 2: what goes with it two purchases later, first choice first
    partner: Ints  # n_items x 3: what goes with it next, first choice first
    path: list[str]  # per category

    def __len__(self) -> int:
        return len(self.sku)

    def brand_name(self, item: int) -> str:
        """The brand of an item as its titles spell it."""
        return BRANDS[int(self.brand[item])].name


def build_catalogue(seed: int, n_items: int, language: str) -> Catalogue:
    """The catalogue of a seed. The first item is on sale from the first day."""
    draw = stream(seed, BEFORE_OPENING, "catalogue")
    share = np.array([category.share for category in CATEGORIES])
    # Largest-remainder would starve small catalogues of variety; a draw keeps any size working.
    category = np.sort(draw.choice(len(CATEGORIES), n_items, p=share / share.sum()))
    category = draw.permutation(category)
    brand = _brands(draw, category)
    level = np.array([entry.level for entry in BRANDS])[brand]
    base = np.array([entry.price for entry in CATEGORIES])[category]
    price = np.maximum(np.round(base * level * np.exp(draw.normal(0, 0.25, n_items))), 1) - 0.01
    launch = np.where(
        draw.random(n_items) < _LAUNCH_SHARE,
        draw.integers(1, _LAUNCH_WINDOW_DAYS + 1, n_items),
        0,
    )
    delist = np.where(
        draw.random(n_items) < _DELIST_SHARE,
        launch + draw.integers(10, _DELIST_WINDOW_DAYS + 1, n_items),
        NEVER,
    )
    launch[0], delist[0] = 0, NEVER
    title, next_volume = _titles(draw, category, brand, language)
    # A later volume is not out before the one that it follows.
    for item in np.flatnonzero(next_volume != NOBODY):
        follower = next_volume[item]
        launch[follower] = max(launch[follower], launch[item])
        delist[follower] = max(delist[follower], launch[follower] + 10)
    partner, companion = _complements(draw, category)
    return Catalogue(
        sku=[f"sku-{item:05d}" for item in range(n_items)],
        title=title,
        category=category,
        brand=brand,
        price=price,
        popularity=_popularity(draw, category),
        quality=_quality(draw, category),
        launch_day=launch,
        delist_day=delist,
        next_volume=next_volume,
        companion=companion,
        partner=partner,
        path=[load_lexicon(language).categories[key].path for key in CATEGORY_KEYS],
    )


def _brands(draw: np.random.Generator, category: Ints) -> Ints:
    brand = np.zeros(len(category), dtype=np.int64)
    for index, entry in enumerate(CATEGORIES):
        members = np.flatnonzero(category == index)
        makers = [n for n, maker in enumerate(BRANDS) if entry.department in maker.departments]
        brand[members] = draw.choice(makers, len(members))
    return brand


def _popularity(draw: np.random.Generator, category: Ints) -> Floats:
    """Zipf within the category, exponent 0.9, in random order of item number."""
    weight = np.zeros(len(category))
    for index in range(len(CATEGORIES)):
        members = np.flatnonzero(category == index)
        weight[members] = 1.0 / draw.permutation(np.arange(1, len(members) + 1)) ** 0.9
    return weight


def _quality(draw: np.random.Generator, category: Ints) -> Floats:
    """About -2 (bad) to 2 (good) per aspect: the item's own level plus the aspect's own."""
    n_items = len(category)
    quality = draw.normal(0.35, 0.45, (n_items, 1)) + draw.normal(0, 0.8, (n_items, MAX_ASPECTS))
    n_aspects = np.array([len(entry.aspects) for entry in CATEGORIES])[category]
    quality[np.arange(MAX_ASPECTS) >= n_aspects[:, None]] = np.nan
    return quality


def _complements(draw: np.random.Generator, category: Ints) -> tuple[Ints, Ints]:
    """What a buyer comes back for: first a partner of the item, then a companion.

    Partners (of the category that it leads to) overlap between items, companions (of the one
    that completes it) hardly do. So the companion follows from the item bought two purchases ago,
    not by the partner bought in between: a first-order model cannot learn it.
    """
    n_items = len(category)
    partner = np.full((n_items, 3), NOBODY, dtype=np.int64)
    companion = np.full((n_items, 2), NOBODY, dtype=np.int64)
    for index, entry in enumerate(CATEGORIES):
        if entry.leads_to is None:
            continue
        middle = CATEGORY_KEYS.index(entry.leads_to)
        members = np.flatnonzero(category == index)
        pool = np.flatnonzero(category == middle)
        if len(pool):
            partner[members] = pool[draw.integers(0, len(pool), (len(members), 3))]
        if entry.completes is None:
            continue
        pool = np.flatnonzero(category == CATEGORY_KEYS.index(entry.completes))
        if len(pool) and len(members):
            # A shuffled round robin: as different as the pool allows. In the item's own category
            # the ring is the category itself, and the next one on it is another item.
            order = draw.permutation(pool)
            ring = order if entry.completes == entry.key else draw.permutation(members)
            at = np.arange(len(ring))
            companion[ring, 0] = order[(at + 1) % len(pool)]
            companion[ring, 1] = order[(at + 2) % len(pool)]
    own = companion == np.arange(n_items)[:, None]
    companion[own] = NOBODY
    companion[companion[:, 0] == NOBODY] = NOBODY
    return partner, companion


def _titles(
    draw: np.random.Generator, category: Ints, brand: Ints, language: str
) -> tuple[list[str], Ints]:
    """A unique title per item, and the next volume of items that come in series."""
    titles = [""] * len(category)
    next_volume = np.full(len(category), NOBODY, dtype=np.int64)
    taken: set[str] = set()
    for index, entry in enumerate(CATEGORIES):
        members = np.flatnonzero(category == index)
        if entry.series:
            for first in range(0, len(members), _VOLUMES):
                volumes = members[first : first + _VOLUMES]
                brand[volumes] = brand[volumes[0]]
                next_volume[volumes[:-1]] = volumes[1:]
                words = _words(brand[volumes[0]], language)
                name = f"{words.series[int(draw.integers(len(words.series)))]}"
                name = _free(name, words.volume, taken)
                for number, item in enumerate(volumes, start=1):
                    titles[item] = words.volume.format(series=name, number=number)
                    taken.add(titles[item])
            continue
        for item in members:
            words = _words(brand[item], language)
            parts = (
                BRANDS[brand[item]].name,
                words.adjectives[int(draw.integers(len(words.adjectives)))],
                words.categories[entry.key].noun,
                words.colours[int(draw.integers(len(words.colours)))],
            )
            title = words.word_space.join(parts)
            model = 2
            while title in taken:
                title = words.word_space.join((*parts, str(model)))
                model += 1
            titles[item] = title
            taken.add(title)
    return titles, next_volume


def _words(brand: int, language: str) -> Lexicon:
    return load_lexicon(BRANDS[brand].language or language)


def _free(name: str, volume: str, taken: set[str]) -> str:
    """The series' name, numbered where another series already has it."""
    edition, free = 1, name
    while volume.format(series=free, number=1) in taken:
        edition += 1
        free = f"{name} {'I' * edition if edition < 4 else edition}"
    return free
