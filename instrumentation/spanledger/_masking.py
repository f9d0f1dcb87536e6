"""Recognisers of personal data and secrets in text, and what replaces them.

Deliberately few, cheap and checked by arithmetic where the format has a check digit, so that order numbers and token
counts survive. They run on the export thread, over text that the user asked to capture ``masked``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

_SECRETS = (
    r"sk-[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic (sk-ant-), OpenRouter, DeepSeek
    r"gsk_[A-Za-z0-9]{20,}",  # Groq
    r"xai-[A-Za-z0-9]{20,}",
    r"hf_[A-Za-z0-9]{20,}",
    r"AIza[A-Za-z0-9_-]{30,}",  # Google
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",  # AWS access key id
    r"gh[pousr]_[A-Za-z0-9]{30,}",
    r"github_pat_[A-Za-z0-9_]{30,}",
    r"xox[abeprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"(?:[rs]k|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}",  # Stripe, Standard Webhooks
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}",  # JWT
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"


def _luhn(text: str) -> bool:
    """ISO/IEC 7812 check digit of payment cards."""
    digits = [int(char) for char in text if char.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _iban(text: str) -> bool:
    """ISO 13616: letters become numbers, the country and check digits go last, and the whole is 1 modulo 97."""
    code = "".join(text.split()).upper()
    if not 15 <= len(code) <= 34:
        return False
    return int("".join(str(int(char, 36)) for char in code[4:] + code[:4])) % 97 == 1


def _ipv6(text: str) -> bool:
    try:
        return ip_address(text).version == 6 and text.count(":") > 2
    except ValueError:
        return False


def _ssn(text: str) -> bool:
    """US social security number: areas 000, 666 and 900-999, group 00 and serial 0000 are never given out."""
    area, group, serial = re.split(r"[- ]", text)
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


@dataclass(frozen=True, slots=True)
class Recogniser:
    """A kind of datum: its pattern, and a check that tells it from look-alikes."""

    kind: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool] | None = None

    def mask(self, text: str) -> str:
        """``text`` with every datum of this kind replaced by ``[kind]``."""
        return self.pattern.sub(self._replace, text)

    def _replace(self, match: re.Match[str]) -> str:
        found = match.group()
        return found if self.check is not None and not self.check(found) else f"[{self.kind}]"


RECOGNISERS = (
    Recogniser("secret", re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(_SECRETS) + ")")),
    Recogniser("secret", re.compile(r"(?<=[Bb]earer )[A-Za-z0-9._~+/-]{16,}=*")),
    Recogniser("email", re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}")),
    Recogniser("iban", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"), _iban),
    Recogniser("card", re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-])"), _luhn),
    Recogniser("ssn", re.compile(r"(?<![\d-])\d{3}([- ])\d{2}\1\d{4}(?![\d-])"), _ssn),
    Recogniser("ip", re.compile(rf"(?<![\d.])(?:{_OCTET}\.){{3}}{_OCTET}(?![\d.]*\d)")),
    Recogniser("ip", re.compile(r"(?<![A-Za-z0-9:])[0-9A-Fa-f:]{2,39}(?![A-Za-z0-9:])"), _ipv6),
    Recogniser("phone", re.compile(r"(?<![\w+])\+\d{1,3}(?:[ .()/-]{0,2}\d){7,12}(?!\d)")),
    Recogniser("phone", re.compile(r"(?<![\w.])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\d-])")),
)


def mask(text: str) -> str:
    """``text`` without e-mail addresses, phone and card numbers, IBANs, SSNs, IP addresses, keys and tokens."""
    for recogniser in RECOGNISERS:
        text = recogniser.mask(text)
    return text
