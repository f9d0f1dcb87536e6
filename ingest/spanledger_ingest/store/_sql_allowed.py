"""What a user's SQL may be made of. Everything else is refused by name.

Left out on purpose: whatever reads settings, files, catalogues or other queries; whatever sleeps or writes; and what
makes something large out of something small inside one value (``repeat``, ``lpad``, ``range`` as a value, ``printf``,
``hex``...), because DuckDB neither counts that memory nor can be interrupted in it (measured with 2.0.0: one
``len(range(1e9))`` takes 20 GB under a limit of 300 MB).
"""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPERATORS: Final = _words("+ - * / // % ** ^ & | ~ << >> || ^@ @ ->> -> ~~ !~~ ~~* !~~* ~~~ ! <@ @> && = <> < > <= >=")

_AGGREGATES: Final = _words("""
    any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null arg_min
    arg_min_null argmax argmin array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count count_if
    count_star countif covar_pop covar_samp entropy favg first fsum geomean geometric_mean group_concat
    histogram kahan_sum kurtosis kurtosis_pop last list listagg mad max max_by mean median min min_by mode
    product quantile quantile_cont quantile_disc regr_avgx regr_avgy regr_count regr_intercept regr_r2
    regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile sem skewness stddev stddev_pop stddev_samp
    string_agg sum sumkahan var_pop var_samp variance wavg weighted_avg
""")

_WINDOWS: Final = _words("""
    row_number rank dense_rank rank_dense percent_rank cume_dist ntile lag lead first_value last_value nth_value
    fill
""")

_NUMBERS: Final = _words("""
    abs acos acosh add asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot degrees divide even
    exp fdiv floor fmod gamma gcd greatest greatest_common_divisor isfinite isinf isnan lcm least
    least_common_multiple lgamma ln log log10 log2 mod multiply nextafter pi pow power radians random round
    round_even roundbankers sign signbit sin sinh sqrt subtract tan tanh trunc xor
""")

_TEXTS: Final = _words("""
    ascii bit_length char_length character_length chr concat concat_ws contains damerau_levenshtein editdist3
    ends_with format_bytes hamming hash ilike_escape instr jaccard jaro_similarity jaro_winkler_similarity lcase
    left left_grapheme len length length_grapheme levenshtein like_escape lower ltrim md5 mismatches
    nfc_normalize not_ilike_escape not_like_escape octet_length ord parse_filename pg_size_pretty position
    prefix regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
    regexp_split_to_array replace reverse right right_grapheme rtrim sha256 split split_part starts_with
    str_split str_split_regex string_split string_split_regex string_to_array strip_accents strlen strpos substr
    substring substring_grapheme suffix translate trim ucase unicode upper
""")

_TIMES: Final = _words("""
    age ago century current_date current_localtime current_localtimestamp date_add date_diff date_part date_sub
    date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month
    decade epoch epoch_ms epoch_ns epoch_us era get_current_time get_current_timestamp hour isodow isoyear
    julian last_day make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns make_timestamptz
    microsecond millennium millisecond minute month monthname nanosecond normalized_interval now quarter second
    strftime strptime time_bucket timezone timezone_hour timezone_minute to_centuries to_days to_decades
    to_hours to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds
    to_timestamp to_weeks to_years today transaction_timestamp try_strptime week weekday weekofyear year
    yearweek
""")

_VALUES: Final = _words("""
    array_contains array_distinct array_extract array_has array_has_all array_has_any array_indexof
    array_intersect array_length array_position array_slice array_sort array_to_string array_unique array_value
    cardinality coalesce element_at equi_width_bins flatten if ifnull json_array_length json_contains
    json_exists json_extract json_extract_path json_extract_path_text json_extract_string json_keys json_type
    json_valid json_value list_aggr list_aggregate list_any_value
    list_apply list_avg list_concat list_contains list_count
    list_distinct list_element list_extract list_filter list_first list_has list_has_all list_has_any
    list_indexof list_intersect list_last list_max list_median list_min list_position list_reverse
    list_reverse_sort list_slice list_sort list_sum list_transform list_unique list_value list_zip map
    map_contains map_entries map_extract map_extract_value map_keys map_values nullif row struct_extract
    struct_extract_at struct_pack typeof unnest
""")

FUNCTIONS: Final = OPERATORS | _AGGREGATES | _WINDOWS | _NUMBERS | _TEXTS | _TIMES | _VALUES

TABLE_FUNCTIONS: Final = _words("generate_series range unnest")

JOINING: Final = _words("|| concat concat_ws list_concat")
"""Functions that lengthen; their arguments are counted over the whole statement."""

TYPES: Final = _words("""
    BIGINT INT8 LONG INTEGER INT INT4 SIGNED SMALLINT INT2 SHORT TINYINT INT1 UBIGINT UINTEGER USMALLINT
    UTINYINT HUGEINT UHUGEINT DOUBLE FLOAT8 FLOAT FLOAT4 REAL DECIMAL NUMERIC BOOLEAN BOOL LOGICAL VARCHAR CHAR
    BPCHAR TEXT STRING DATE TIME TIMETZ TIMESTAMP TIMESTAMPTZ DATETIME TIMESTAMP_S TIMESTAMP_MS TIMESTAMP_NS
    INTERVAL UUID JSON LIST STRUCT ROW MAP UNBOUND INTEGER_LITERAL STRING_LITERAL
""") | {"TIMESTAMP WITH TIME ZONE", "TIME WITH TIME ZONE"}

QUERY_NODES: Final = _words("SELECT_NODE SET_OPERATION_NODE RECURSIVE_CTE_NODE CTE_NODE")
SOURCES: Final = _words("BASE_TABLE SUBQUERY JOIN TABLE_FUNCTION EXPRESSION_LIST EMPTY PIVOT")
MODIFIERS: Final = _words("ORDER_MODIFIER LIMIT_MODIFIER LIMIT_PERCENT_MODIFIER DISTINCT_MODIFIER")
ORDERS: Final = _words("ORDER_DEFAULT ASCENDING DESCENDING")

EXPRESSIONS: Final = _words("""
    BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA LAMBDA_REF OPERATOR
    PARAMETER POSITIONAL_REFERENCE STAR SUBQUERY TYPE WINDOW
""")
