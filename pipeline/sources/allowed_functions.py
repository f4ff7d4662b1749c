"""Which functions of Spark 4.1 a source's expressions may call, by what they are for.

All give one value from the values of one row, and the same value on every day and machine. Left out
on purpose: what reaches beyond the row (`java_method`, `reflect`, the file, the user, the session),
what differs from run to run (the clock, random numbers, ids of tasks), what ends the night
(`assert_true`, `raise_error`), keys and ciphers, parsers of XML (entities name files) and of Avro
and Protobuf (schemas are files), sketches, and aggregates, windows and generators, which are no
expressions of one row. Standard library only.
"""

from __future__ import annotations

_BY_KIND = {
    "text": """
        ascii base64 bit_length btrim char char_length character_length chr concat concat_ws
        contains decode elt encode endswith find_in_set format_number format_string initcap instr
        is_valid_utf8 lcase left len length levenshtein locate lower lpad ltrim luhn_check
        make_valid_utf8 mask octet_length overlay position printf quote repeat replace right rpad
        rtrim sentences soundex space split split_part startswith substr substring substring_index
        to_binary to_char to_number to_varchar translate trim try_to_binary try_to_number
        try_validate_utf8 ucase unbase64 upper validate_utf8
        parse_url try_parse_url try_url_decode url_decode url_encode""",
    "regular expressions": """
        ilike like regexp regexp_count regexp_extract regexp_extract_all regexp_instr regexp_like
        regexp_replace regexp_substr rlike""",
    "numbers": """
        abs acos acosh asin asinh atan atan2 atanh bin bit_count bit_get bround cbrt ceil ceiling
        conv cos cosh cot csc degrees e exp expm1 factorial floor getbit greatest hex hypot least ln
        log log10 log1p log2 mod negative pi pmod positive pow power radians rint round sec
        shiftleft shiftright shiftrightunsigned sign signum sin sinh sqrt tan tanh try_add
        try_divide try_mod try_multiply try_subtract unhex width_bucket""",
    "times": """
        add_months convert_timezone date_add date_diff date_format date_from_unix_date date_part
        date_sub date_trunc dateadd datediff datepart day dayname dayofmonth dayofweek dayofyear
        extract from_unixtime from_utc_timestamp hour last_day make_date make_dt_interval
        make_interval make_time make_timestamp make_timestamp_ltz make_timestamp_ntz
        make_ym_interval minute month monthname months_between next_day quarter second time_diff
        time_trunc timestamp_micros timestamp_millis timestamp_seconds to_date to_time to_timestamp
        to_timestamp_ltz to_timestamp_ntz to_unix_timestamp to_utc_timestamp trunc
        try_make_interval try_make_timestamp try_make_timestamp_ltz try_make_timestamp_ntz
        try_to_date try_to_time try_to_timestamp unix_date unix_micros unix_millis unix_seconds
        unix_timestamp weekday weekofyear year""",
    "conditions": """
        between coalesce equal_null if ifnull isnan isnotnull isnull nanvl nullif nullifzero nvl
        nvl2 when zeroifnull""",
    "types": """
        bigint binary boolean date decimal double float int smallint string time timestamp tinyint
        typeof""",
    "arrays, maps and structs": """
        array array_append array_compact array_contains array_distinct array_except array_insert
        array_intersect array_join array_max array_min array_position array_prepend array_remove
        array_repeat array_size array_union arrays_overlap arrays_zip cardinality element_at flatten
        get map map_concat map_contains_key map_entries map_from_arrays map_from_entries map_keys
        map_values named_struct reverse sequence size slice sort_array str_to_map struct
        try_element_at
        aggregate array_sort exists filter forall map_filter map_zip_with reduce transform
        transform_keys transform_values zip_with""",
    "JSON and CSV": """
        from_csv from_json get_json_object is_variant_null json_array_length json_object_keys
        parse_json to_csv to_json to_variant_object try_parse_json try_variant_get variant_get""",
    "hashes": "crc32 hash md5 sha sha1 sha2 xxhash64",
}

FUNCTIONS_BY_KIND = {kind: tuple(names.split()) for kind, names in _BY_KIND.items()}
ALLOWED_FUNCTIONS = frozenset(name for names in FUNCTIONS_BY_KIND.values() for name in names)

# The argument that says a type. Spark reads it as DDL, and what is no DDL as JSON, which may name
# a Java class to be made.
TYPE_ARGUMENT = {"from_csv": 1, "from_json": 1, "try_variant_get": 2, "variant_get": 2}

# Without an argument this one is the clock.
FEWEST_ARGUMENTS = {"unix_timestamp": 1}
