"""What the simulated shop sells: categories, what goes with what, and brands. Constants only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """A category. `price` is a typical one, `share` weighs its part of the catalogue.

    A buyer comes back for something of `leads_to`, and then for what `completes` the purchase.
    """

    key: str
    department: str
    price: float
    share: float
    aspects: tuple[str, ...]
    leads_to: str | None = None
    completes: str | None = None
    accessory: bool = False
    consumable_days: int = 0
    series: bool = False


CATEGORIES = (
    Category(
        "phone",
        "electronics",
        420,
        8,
        ("screen", "battery", "camera", "weight", "speed"),
        leads_to="phone_case",
        completes="charger",
    ),
    Category(
        "phone_case",
        "electronics",
        19,
        7,
        ("grip", "protection", "fit", "design"),
        leads_to="charger",
        accessory=True,
    ),
    Category(
        "charger", "electronics", 24, 6, ("charging", "cable", "size", "heat"), accessory=True
    ),
    Category(
        "camera",
        "electronics",
        560,
        5,
        ("picture", "focus", "battery", "weight"),
        leads_to="memory_card",
        completes="camera_bag",
    ),
    Category(
        "memory_card",
        "electronics",
        29,
        4,
        ("speed", "capacity", "durability"),
        leads_to="camera_bag",
        accessory=True,
    ),
    Category(
        "camera_bag",
        "electronics",
        49,
        4,
        ("protection", "zipper", "pockets", "comfort"),
        accessory=True,
    ),
    Category(
        "laptop",
        "computers",
        880,
        5,
        ("screen", "battery", "keyboard", "noise", "weight"),
        leads_to="laptop_sleeve",
        completes="usb_hub",
    ),
    Category(
        "laptop_sleeve",
        "computers",
        27,
        4,
        ("fit", "zipper", "material", "design"),
        leads_to="usb_hub",
        accessory=True,
    ),
    Category("usb_hub", "computers", 39, 4, ("ports", "heat", "size", "cable"), accessory=True),
    Category(
        "headphones",
        "electronics",
        95,
        6,
        ("sound", "comfort", "battery", "fit"),
        leads_to="water_bottle",
        completes="running_socks",
    ),
    Category(
        "coffee_machine",
        "coffee",
        230,
        4,
        ("taste", "noise", "cleaning", "size"),
        leads_to="coffee_grinder",
        completes="coffee_beans",
    ),
    Category(
        "coffee_grinder",
        "coffee",
        75,
        3,
        ("grind", "noise", "cleaning"),
        leads_to="coffee_beans",
        accessory=True,
    ),
    Category(
        "coffee_beans",
        "coffee",
        12,
        6,
        ("taste", "aroma", "freshness", "packaging"),
        consumable_days=12,
    ),
    Category(
        "running_shoes",
        "sports",
        110,
        6,
        ("comfort", "fit", "grip", "weight"),
        leads_to="running_socks",
        completes="water_bottle",
    ),
    Category(
        "running_socks",
        "sports",
        13,
        4,
        ("comfort", "material", "fit", "durability"),
        leads_to="water_bottle",
        accessory=True,
    ),
    Category(
        "water_bottle", "sports", 18, 3, ("seal", "size", "cleaning", "design"), accessory=True
    ),
    Category(
        "novel",
        "books",
        14,
        12,
        ("plot", "characters", "ending", "print"),
        leads_to="coffee_beans",
        completes="novel",
        series=True,
    ),
    Category(
        "building_set",
        "toys",
        38,
        6,
        ("instructions", "pieces", "design", "size"),
        leads_to="novel",
        completes="building_set",
        series=True,
    ),
    Category(
        "dog_food",
        "pets",
        26,
        4,
        ("ingredients", "freshness", "packaging", "appetite"),
        leads_to="running_shoes",
        completes="dog_food",
        consumable_days=14,
    ),
    Category(
        "shampoo",
        "beauty",
        9,
        4,
        ("aroma", "foam", "packaging", "effect"),
        leads_to="face_cream",
        completes="shampoo",
        consumable_days=18,
    ),
    Category(
        "face_cream",
        "beauty",
        22,
        4,
        ("texture", "aroma", "effect", "packaging"),
        leads_to="shampoo",
        completes="face_cream",
        consumable_days=20,
    ),
)

CATEGORY_KEYS = tuple(category.key for category in CATEGORIES)
DEPARTMENTS = tuple(sorted({category.department for category in CATEGORIES}))
MAX_ASPECTS = max(len(category.aspects) for category in CATEGORIES)


@dataclass(frozen=True)
class Brand:
    """An invented brand. `level` multiplies prices; a `language` makes its titles that language."""

    name: str
    departments: tuple[str, ...]
    level: float
    language: str | None = None


BRANDS = (
    Brand("Alvenor", ("electronics", "computers"), 1.6),
    Brand("Brisko", ("electronics", "computers"), 0.6),
    Brand("Calmira", ("electronics", "coffee"), 1.1),
    Brand("Dunfell", ("electronics", "computers"), 0.9),
    Brand("Estrano", ("electronics", "computers"), 1.3),
    Brand("云溪", ("electronics", "computers"), 0.8, "zh"),
    Brand("星澜", ("electronics", "sports"), 0.7, "zh"),
    Brand("Fjorda", ("sports", "coffee"), 1.4),
    Brand("Galvero", ("sports", "toys"), 0.8),
    Brand("Hollin", ("sports", "pets"), 1.0),
    Brand("远舟", ("sports", "toys"), 0.9, "zh"),
    Brand("Ivaro", ("coffee", "beauty"), 1.5),
    Brand("Jurand", ("coffee", "pets"), 0.9),
    Brand("Kestra", ("coffee", "beauty"), 0.7),
    Brand("木白", ("coffee", "books"), 1.0, "zh"),
    Brand("Lumivo", ("beauty", "pets"), 1.2),
    Brand("Mirelle", ("beauty", "pets"), 0.8),
    Brand("青禾", ("beauty", "pets"), 0.9, "zh"),
    Brand("Northlight", ("books", "toys"), 1.0),
    Brand("Old Quay", ("books", "toys"), 1.2),
    Brand("Plumtree", ("books", "toys"), 0.8),
)
