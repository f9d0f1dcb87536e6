"""PostgreSQL's binary form of exact numbers: groups of four decimal digits."""

import struct
from decimal import Decimal, localcontext
from typing import Final

_NAN: Final = 0xC000
_NEGATIVE: Final = 0x4000


def binary_numeric(value: Decimal | int) -> bytes:
    """Return the number in binary."""
    sign, digits, exponent = Decimal(value).as_tuple()
    if not isinstance(exponent, int):
        return struct.pack("!hhHh", 0, 0, _NAN, 0)
    places = max(-exponent, 0)
    text = ("".join(map(str, digits)) + "0" * max(exponent, 0)).rjust(places, "0")
    whole, part = text[: len(text) - places].lstrip("0"), text[len(text) - places :]
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    part = part.ljust(-(-len(part) // 4) * 4, "0")
    groups = [int((whole + part)[at : at + 4]) for at in range(0, len(whole) + len(part), 4)]
    weight = len(whole) // 4 - 1
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    while groups and groups[-1] == 0:
        groups.pop()
    head = struct.pack("!hhHh", len(groups), weight if groups else 0, _NEGATIVE if sign and groups else 0, places)
    return head + b"".join(struct.pack("!h", group) for group in groups)


def numeric_of(data: bytes) -> Decimal:
    """Read what a client sent in binary.

    Raises:
        ValueError: it is no number.
    """
    try:
        count, weight, sign, places = struct.unpack_from("!hhHH", data)
        groups = struct.unpack_from(f"!{count}h", data, 8)
    except struct.error as error:
        raise ValueError("a number is cut short") from error
    if sign == _NAN:
        return Decimal("NaN")
    if sign not in (0, _NEGATIVE) or not all(0 <= group < 10_000 for group in groups) or places > 16_383:
        raise ValueError("a number is malformed")
    if abs(weight) > 100 or count > 100:
        raise ValueError("a number is too long")
    with localcontext() as context:
        context.prec = 1_000
        total = sum((Decimal(group).scaleb(4 * (weight - at)) for at, group in enumerate(groups)), Decimal(0))
        found = total.quantize(Decimal(1).scaleb(-min(places, 500)))
    return -found if sign == _NEGATIVE else found
