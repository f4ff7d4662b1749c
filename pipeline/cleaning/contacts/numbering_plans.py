"""Which numbers countries have: libphonenumber's metadata (the package `phonenumbers`), asked fast.

Parsing a number for one region takes 46 microseconds; here each region is one compiled pattern, and
what was asked is remembered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata

# Whose numbers are known as they are written at home.
# fmt: off
REGIONS: tuple[str, ...] = (
    "US", "CA", "GB", "IE", "FR", "BE", "LU", "CH", "DE", "AT", "NL", "ES", "PT", "IT", "GR", "CY",
    "PL", "CZ", "SK", "HU", "RO", "BG", "HR", "SI", "RS", "UA", "RU", "BY", "KZ", "TR", "IL", "SE",
    "NO", "DK", "FI", "EE", "LV", "LT", "IS", "MT", "BR", "AR", "CL", "CO", "MX", "PE", "UY", "EC",
    "VE", "IN", "PK", "BD", "LK", "CN", "HK", "TW", "JP", "KR", "SG", "MY", "TH", "VN", "PH", "ID",
    "AU", "NZ", "ZA", "NG", "KE", "EG", "MA", "AE", "SA",
)
# fmt: on
# Whose mobile numbers are written with the country code and without a plus sign, too.
_MOBILE_COUNTRIES = ("91", "55", "86", "44", "49", "33", "34", "39", "31", "48", "7")


@lru_cache(maxsize=65_536)
def is_possible(digits: str) -> bool:
    """Whether digits with their country code are as long as a number of that country."""
    try:
        number = phonenumbers.parse(f"+{digits}", None)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_possible_number(number)


def country_of(digits: str) -> int:
    """The country code that digits begin with; 0 where there is none."""
    return next(
        (
            int(digits[:size])
            for size in (1, 2, 3)
            if int(digits[:size]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE
        ),
        0,
    )


@lru_cache(maxsize=65_536)
def has_country(digits: str) -> bool:
    """Whether digits with their country code are a valid number."""
    try:
        number = phonenumbers.parse(f"+{digits}", None)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)


@dataclass(frozen=True)
class _Plan:
    """What numbers a country has: without its country code, and what stands before them at home."""

    region: str
    code: str
    trunk: str
    any_number: re.Pattern[str]
    mobile: re.Pattern[str]


@cache
def _plans() -> tuple[_Plan, ...]:
    plans = []
    for region in REGIONS:
        metadata = PhoneMetadata.metadata_for_region(region)
        assert metadata is not None
        kinds = (
            metadata.fixed_line,
            metadata.mobile,
            metadata.toll_free,
            metadata.premium_rate,
            metadata.shared_cost,
            metadata.personal_number,
            metadata.voip,
            metadata.uan,
        )
        patterns = [
            kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern
        ]
        mobile = metadata.mobile.national_number_pattern if metadata.mobile else None
        plans.append(
            _Plan(
                region,
                str(metadata.country_code),
                metadata.national_prefix or "",
                re.compile("|".join(f"(?:{p})" for p in patterns)),
                re.compile(mobile or "(?!)"),
            )
        )
    return tuple(plans)


@lru_cache(maxsize=65_536)
def valid_in(digits: str) -> tuple[tuple[str, str], ...]:
    """The regions where digits, dialled at home, are a valid number; each with the number itself.

    Digits without the trunk prefix that a country writes before a number count as a number too:
    how they are grouped, or a word beside them, has to say the rest.
    """
    found = []
    for plan in _plans():
        national = digits.removeprefix(plan.trunk) if plan.trunk else digits
        if plan.any_number.fullmatch(national):
            found.append((plan.region, national))
        elif national != digits and plan.any_number.fullmatch(digits):
            found.append((plan.region, digits))
    return tuple(found)


def is_mobile_with_country(groups: tuple[str, ...], digits: str) -> bool:
    """Whether digits are a country code and a mobile number; in groups: the code is the first."""
    code = next((code for code in _MOBILE_COUNTRIES if digits.startswith(code)), "")
    if not code or not 11 <= len(digits) <= 13 or (len(groups) > 1 and groups[0] != code):
        return False
    return any(plan.mobile.fullmatch(digits[len(code) :]) for plan in _plans() if plan.code == code)


@lru_cache(maxsize=65_536)
def is_mobile_in(digits: str, regions: tuple[str, ...]) -> bool:
    """Whether digits, dialled at home, are a mobile number of one of the regions."""
    for plan in _plans() if regions else ():
        if plan.region in regions:
            # Lithuania dialled 8 before 2026, and people still write it.
            trunks = (plan.trunk, "8") if plan.region == "LT" else (plan.trunk,)
            if any(plan.mobile.fullmatch(digits.removeprefix(trunk)) for trunk in trunks):
                return True
    return False
