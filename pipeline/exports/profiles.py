"""The tools that there are profiles for: one table.

docs/exports.md says where each limit was read, and which of them are ours. A profile that is added
here is named in `pipeline.settings_ranges.EXPORT_PROFILES` too, and needs a golden file.
"""

from __future__ import annotations

import difflib

from pipeline.errors import SettingsError
from pipeline.exports.profile import (
    Column,
    Fact,
    FileForm,
    Form,
    Left,
    Profile,
    Shape,
    TextRule,
)

MB = 1_000_000

# A tool that reads one line as one record cannot be given lines within a field.
ONE_LINE = TextRule("[\t\r\n]+", " ", "line breaks and tabs made spaces")
NO_FOUR_BYTES = TextRule("[\U00010000-\U0010ffff]", "", "characters beyond 3 bytes removed")
# What spreadsheets take for the beginning of a formula, also the full-width forms; and again behind
# what another country's spreadsheet takes for the end of a cell (OWASP, "CSV Injection").
_FORMULA = r"\s*[=+\-@＝＋－＠]"
FORMULA_AT_START = TextRule(f"^(?={_FORMULA})", "'", "a formula made text by an apostrophe")
FORMULA_INSIDE = TextRule(
    rf"([;,|])(?={_FORMULA})", r"\1'", "what could become a formula made text by an apostrophe"
)

_E_MAIL = r"[^@\s]{1,64}@[^@\s]+\.[^@\s]{2,}"


def _list_columns(
    *names: tuple[str, Fact], characters: int = 0, utf8: int = 0
) -> tuple[Column, ...]:
    return tuple(Column(name, fact, characters=characters, bytes=utf8) for name, fact in names)


BRAZE = Profile(
    name="braze",
    tool="Braze (Cloud Data Ingestion, files)",
    load="a sync of user attributes over the folder; a null in PAYLOAD removes the attribute",
    key=Column("external_id", Fact.USER, bytes=997, is_id=True),
    columns=(
        Column("nightcart_count", Fact.COUNT, is_number=True),
        Column("nightcart_spares", Fact.SPARES, is_number=True),
        *_list_columns(
            ("nightcart_date", Fact.DATE),
            ("nightcart_valid_until", Fact.VALID_UNTIL),
            ("nightcart_language", Fact.LANGUAGE),
            ("nightcart_reason", Fact.REASON),
            characters=255,
        ),
    ),
    item_columns=(
        Column("nightcart_item_ids", Fact.ITEM, characters=255, is_id=True),
        Column("nightcart_item_titles", Fact.TITLE, characters=255),
        Column("nightcart_item_prices", Fact.PRICE, characters=255),
    ),
    most_items=100,
    file=FileForm(Form.PARQUET, bytes=400 * MB),
    shape=Shape.BRAZE,
    empty=None,
)

KLAVIYO = Profile(
    name="klaviyo",
    tool="Klaviyo (bulk profile import)",
    load='each file is the body of one job; an empty text ("") clears, because null cannot',
    key=Column("external_id", Fact.USER, characters=255, is_id=True),
    columns=(
        Column("nightcart_count", Fact.COUNT, is_number=True),
        Column("nightcart_spares", Fact.SPARES, is_number=True),
        *_list_columns(
            ("nightcart_date", Fact.DATE),
            ("nightcart_valid_until", Fact.VALID_UNTIL),
            ("nightcart_language", Fact.LANGUAGE),
            ("nightcart_reason", Fact.REASON),
        ),
    ),
    item_columns=(
        Column("nightcart_item_{n}_id", Fact.ITEM, is_id=True),
        Column("nightcart_item_{n}_title", Fact.TITLE),
        Column("nightcart_item_{n}_price", Fact.PRICE),
    ),
    most_items=20,
    file=FileForm(
        Form.JSON,
        rows=10_000,
        bytes=5 * MB,
        record_bytes=100_000,
        head=('{"data":{"type":"profile-bulk-import-job","attributes":{"profiles":{"data":[\n'),
        tail="\n]}}}}\n",
    ),
    shape=Shape.KLAVIYO,
)

SALESFORCE = Profile(
    name="salesforce",
    tool="Salesforce Marketing Cloud (data extension)",
    load=(
        "import by add and update into a data extension whose primary key is SubscriberKey; "
        "a blank clears"
    ),
    key=Column("SubscriberKey", Fact.USER, characters=254, is_id=True),
    columns=(
        Column("ItemCount", Fact.COUNT, is_number=True),
        Column("SpareCount", Fact.SPARES, is_number=True),
        *_list_columns(
            ("ListDate", Fact.DATE),
            ("ValidUntil", Fact.VALID_UNTIL),
            ("Language", Fact.LANGUAGE),
            ("Reason", Fact.REASON),
            characters=4000,
        ),
    ),
    item_columns=(
        Column("Item{n}Id", Fact.ITEM, characters=254, is_id=True),
        Column("Item{n}Title", Fact.TITLE, characters=4000),
        Column("Item{n}Price", Fact.PRICE),
    ),
    most_items=20,
    file=FileForm(Form.CSV, bytes=400 * MB, line_end="\r\n"),
    rules=(ONE_LINE,),
)

ITERABLE = Profile(
    name="iterable",
    tool="Iterable (catalogue of lists)",
    load="upload each file to one catalogue; templates look it up by the user's id",
    key=Column(
        "key",
        Fact.USER,
        characters=255,
        pattern=r"[A-Za-z0-9-]+",
        pattern_words="has other characters than letters, digits and dashes",
        is_id=True,
    ),
    columns=(
        Column("item_count", Fact.COUNT, is_number=True),
        Column("spare_count", Fact.SPARES, is_number=True),
        *_list_columns(
            ("list_date", Fact.DATE),
            ("valid_until", Fact.VALID_UNTIL),
            ("language", Fact.LANGUAGE),
            ("reason", Fact.REASON),
        ),
    ),
    item_columns=(
        Column("item_{n}_id", Fact.ITEM, is_id=True),
        Column("item_{n}_title", Fact.TITLE),
        Column("item_{n}_price", Fact.PRICE),
    ),
    most_items=50,  # 157 of at most 350 fields
    file=FileForm(Form.CSV, rows=1000, record_bytes=29_999),
    rules=(ONE_LINE,),
)

HUBSPOT = Profile(
    name="hubspot",
    tool="HubSpot (contact import)",
    load=(
        "map customer_id to a contact property with unique values; a blank cell would not "
        "overwrite, so (none) stands where there is no value"
    ),
    key=Column("customer_id", Fact.USER, characters=65_536, is_id=True),
    columns=(
        Column("nightcart_count", Fact.COUNT, is_number=True),
        Column("nightcart_spares", Fact.SPARES, is_number=True),
        *_list_columns(
            ("nightcart_date", Fact.DATE),
            ("nightcart_valid_until", Fact.VALID_UNTIL),
            ("nightcart_language", Fact.LANGUAGE),
            ("nightcart_reason", Fact.REASON),
            characters=65_536,
        ),
    ),
    item_columns=(
        Column("nightcart_item_{n}_id", Fact.ITEM, characters=65_536, is_id=True),
        Column("nightcart_item_{n}_title", Fact.TITLE, characters=65_536),
        Column("nightcart_item_{n}_price", Fact.PRICE),
    ),
    most_items=20,
    file=FileForm(Form.CSV, rows=1_048_574, bytes=500 * MB),
    rules=(ONE_LINE,),
    empty="(none)",
)

MAILCHIMP = Profile(
    name="mailchimp",
    tool="Mailchimp (batch of members)",
    load=(
        "each file is the body of one POST /lists/{list_id}; the answer names members that were "
        "refused although it is 200. Nobody is subscribed: there is no status"
    ),
    key=Column(
        "email_address",
        Fact.USER,
        characters=254,
        pattern=_E_MAIL,
        pattern_words="is no e-mail address, by which Mailchimp knows its members",
        is_id=True,
    ),
    columns=(
        Column("NCCOUNT", Fact.COUNT, is_number=True),
        Column("NCSPARES", Fact.SPARES, is_number=True),
        *_list_columns(
            ("NCDATE", Fact.DATE),
            ("NCUNTIL", Fact.VALID_UNTIL),
            ("NCREASON", Fact.REASON),
            utf8=255,
        ),
    ),
    item_columns=(
        Column("NCID{n}", Fact.ITEM, bytes=255, is_id=True),
        Column("NCTITLE{n}", Fact.TITLE, bytes=255),
        Column("NCPRICE{n}", Fact.PRICE, bytes=255),
    ),
    most_items=6,  # 23 merge fields: an audience has 30 where none were bought
    file=FileForm(Form.JSON, rows=500, head='{"update_existing":true,"members":[\n', tail="\n]}\n"),
    shape=Shape.MAILCHIMP,
    key_ignores_case=True,
)

CUSTOMERIO = Profile(
    name="customerio",
    tool="Customer.io (imports)",
    load="POST /v1/imports with the file's address; choose that empty values clear attributes",
    key=Column("id", Fact.USER, bytes=150, is_id=True),
    columns=(
        Column("nightcart_count", Fact.COUNT, is_number=True),
        Column("nightcart_spares", Fact.SPARES, is_number=True),
        *_list_columns(
            ("nightcart_date", Fact.DATE),
            ("nightcart_valid_until", Fact.VALID_UNTIL),
            ("nightcart_language", Fact.LANGUAGE),
            ("nightcart_reason", Fact.REASON),
            utf8=1000,
        ),
    ),
    item_columns=(
        Column("nightcart_item_{n}_id", Fact.ITEM, bytes=1000, is_id=True),
        Column("nightcart_item_{n}_title", Fact.TITLE, bytes=1000),
        Column("nightcart_item_{n}_price", Fact.PRICE, bytes=1000),
    ),
    most_items=30,  # 97 of at most 100 columns
    file=FileForm(Form.CSV, bytes=100 * MB),
    rules=(ONE_LINE,),
)

EMARSYS = Profile(
    name="emarsys",
    tool="SAP Emarsys (contact import)",
    load="an auto-import by customer_id; characters beyond 3 bytes of UTF-8 are left out",
    key=Column("customer_id", Fact.USER, characters=255, is_id=True),
    columns=(
        Column("nightcart_count", Fact.COUNT, is_number=True),
        Column("nightcart_spares", Fact.SPARES, is_number=True),
        *_list_columns(
            ("nightcart_date", Fact.DATE),
            ("nightcart_valid_until", Fact.VALID_UNTIL),
            ("nightcart_language", Fact.LANGUAGE),
            ("nightcart_reason", Fact.REASON),
            characters=255,
        ),
    ),
    item_columns=(
        Column("nightcart_item_{n}_id", Fact.ITEM, characters=255, is_id=True),
        Column("nightcart_item_{n}_title", Fact.TITLE, characters=255),
        Column("nightcart_item_{n}_price", Fact.PRICE),
    ),
    most_items=20,
    # A line must end within the first 265 KB.
    file=FileForm(Form.CSV, bytes=400 * MB, record_bytes=200_000, line_end="\r\n"),
    rules=(ONE_LINE, NO_FOUR_BYTES),
)

PERSONALIZE = Profile(
    name="personalize",
    tool="Amazon Personalize (output of a batch)",
    load="for what reads Personalize's own batch output; an empty list says that somebody has left",
    key=Column("userId", Fact.USER, characters=256, is_id=True),
    columns=(),
    item_columns=(
        Column("recommendedItems", Fact.ITEM, characters=256, is_id=True),
        Column("scores", Fact.SCORE, is_number=True, is_required=True),
    ),
    most_items=500,
    file=FileForm(Form.JSON_LINES, bytes=400 * MB),
    shape=Shape.PERSONALIZE,
)

CSV = Profile(
    name="csv",
    tool="any tool that reads CSV (RFC 4180)",
    load="values as the shop wrote them; line breaks and quotation marks within quoted fields",
    key=Column("user_id", Fact.USER, characters=100_000, is_id=True),
    columns=(
        *_list_columns(
            ("language", Fact.LANGUAGE),
            ("method", Fact.METHOD),
            ("reason", Fact.REASON),
            ("valid_until", Fact.VALID_UNTIL),
            characters=100_000,  # ours: readers of CSV stop at longer fields, Python's at 131,072
        ),
        Column("spares", Fact.SPARES, is_number=True),
    ),
    item_columns=(
        Column("item_id_{n}", Fact.ITEM, characters=100_000, is_id=True),
        Column("title_{n}", Fact.TITLE, characters=100_000),
        Column("price_{n}", Fact.PRICE),
    ),
    most_items=1000,
    file=FileForm(Form.CSV),
    left=Left.KEYS,
)

SPREADSHEET = Profile(
    name="spreadsheet",
    tool="a spreadsheet (CSV without formulas)",
    load="for people to look at: what a spreadsheet would run is made text, so do not load it",
    key=Column("user_id", Fact.USER, characters=32_767),
    columns=(
        *_list_columns(
            ("language", Fact.LANGUAGE),
            ("method", Fact.METHOD),
            ("reason", Fact.REASON),
            ("valid_until", Fact.VALID_UNTIL),
            characters=32_767,
        ),
        Column("spares", Fact.SPARES, is_number=True),
    ),
    item_columns=(
        Column("item_id_{n}", Fact.ITEM, characters=32_767),
        Column("title_{n}", Fact.TITLE, characters=32_767),
        Column("price_{n}", Fact.PRICE, characters=32_767),
    ),
    most_items=1000,
    # Excel has 1,048,576 rows and cells of 32,767 characters.
    file=FileForm(Form.CSV, rows=1_048_575, line_end="\r\n", quote_all=True, byte_order_mark=True),
    rules=(ONE_LINE, FORMULA_AT_START, FORMULA_INSIDE),
    left=Left.KEYS,
    key_is_text=True,
)

PROFILES = {
    profile.name: profile
    for profile in (
        BRAZE,
        KLAVIYO,
        SALESFORCE,
        ITERABLE,
        HUBSPOT,
        MAILCHIMP,
        CUSTOMERIO,
        EMARSYS,
        PERSONALIZE,
        CSV,
        SPREADSHEET,
    )
}


def profile_named(name: str) -> Profile:
    """The profile of a name.

    Raises:
        SettingsError: there is none; says which there are.
    """
    if name in PROFILES:
        return PROFILES[name]
    near = difflib.get_close_matches(name, PROFILES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise SettingsError(f"there is no export for {name!r}{hint} There are {', '.join(PROFILES)}")
