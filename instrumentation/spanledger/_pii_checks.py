"""Arithmetic that tells personal data from look-alikes: check digits, ranges, calling codes."""

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

Check = Callable[[str], bool]

_CARD_PREFIX: Final = re.compile(r"4|5[0-8]|6|2[2-7]|3[0-9]|1800|2131|9792|8600")
"""First digits of issuers: Visa, Mastercard, Maestro, Discover, UnionPay, RuPay, Amex, Diners, JCB, Troy, Humo."""

_IBAN_LENGTHS: Final[dict[str, int]] = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FK FO GL NL SD", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HN HU LB NI PL SV", "29": "BR EG PS QA UA",
        "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
"""Length of a whole IBAN by country (SWIFT's registry)."""

_CALLING_CODES: Final = re.compile(
    r"1|7|2(?:0|7|[1234569]\d)|3(?:[0123469]|[578]\d)|4(?:[013456789]|2\d)|5(?:[1-8]|[09]\d)|6(?:[0-6]|[789]\d)"
    r"|8(?:[1246]|[0578]\d)|9(?:[0-58]|[679]\d)"
)
"""ITU-T E.164: +1 and +7, then codes of two digits, then of three."""


def digits_of(text: str) -> str:
    """The decimal digits among ``text``."""
    return "".join(filter(str.isdecimal, text))


def luhn(text: str) -> bool:
    """Whether the digits end in the check digit of ISO/IEC 7812."""
    digits = [int(char) for char in digits_of(text)]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return len(digits) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def card(text: str) -> bool:
    """A payment card: 13 to 19 digits of an issuer, with its check digit."""
    digits = digits_of(text)
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    return _CARD_PREFIX.match(digits) is not None and luhn(digits)


def named_card(text: str) -> bool:
    """A number that its sentence calls a card: 12 digits (Maestro) and other issuers pass, too."""
    digits = digits_of(text)
    return 12 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn(digits)


def iban(text: str) -> bool:
    """ISO 13616: letters become numbers, the country and check digits go last, and the whole is 1 modulo 97."""
    code = "".join(text.split()).upper()
    if len(code) != _IBAN_LENGTHS.get(code[:2], 0) or not (code.isascii() and code.isalnum()):
        return False
    return int("".join(str(int(char, 36)) for char in code[4:] + code[:4])) % 97 == 1


def ssn(text: str) -> bool:
    """US social security number: areas 000, 666 and 900-999, group 00 and serial 0000 are never given out."""
    area, group, serial = re.split(r"[- ]", text)
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def ipv6(text: str) -> bool:
    """An IPv6 address that is no time of day."""
    try:
        return ip_address(text).version == 6 and text.count(":") > 2
    except ValueError:
        return False


def international(text: str) -> bool:
    """A number of E.164: a calling code and 8 to 15 digits in all."""
    digits = digits_of(text)
    return 8 <= len(digits) <= 15 and _CALLING_CODES.match(digits) is not None


_NATIONAL: Final = (
    re.compile(r"\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}([ .-])\d{3}\1\d{4}"),  # North America
    re.compile(r"\(?0[1-9]\d{0,3}\)?(?:[ .-]\d{2,4}){2,4}"),  # a trunk prefix, then groups
    re.compile(r"(?:0[1-9]\d{1,3}[ /-]|\(0[1-9]\d{0,3}\) ?)\d{5,8}"),  # a trunk prefix, then one group
    re.compile(r"00[1-9]\d{0,2}(?:[ .-]\(?\d{1,8}\)?){2,5}"),  # the prefix of calls abroad, a country, then groups
)


def national(text: str) -> bool:
    """A number that is written as no other number is: grouped after an area code, or after a trunk prefix."""
    return 9 <= len(digits_of(text)) <= 15 and any(pattern.fullmatch(text) for pattern in _NATIONAL)


def named_phone(text: str) -> bool:
    """A number that its sentence calls a phone number: 6 to 15 digits, in one piece or in groups."""
    return 6 <= len(digits_of(text)) <= 15 and not _DATE.fullmatch(text)


_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d|\d\d?[./-]\d\d?[./-]\d{4}")
