"""Recognisers of personal data and secrets in text, for the application and the service alike.

Deliberately cheap and checked by arithmetic where the format has a check digit, so that order numbers and token counts
survive. What has no check digit, a phone number above all, counts only if it is written like one or if the words beside
it say so. Only the standard library is used, and time is linear in the length of the text.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from spanledger import _pii_checks as checks

_SECRETS: Final = (
    r"sk-[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic (sk-ant-), OpenRouter, DeepSeek
    r"sl_[a-z0-9]{12}_[A-Za-z0-9_-]{30,}",  # ours
    r"gsk_[A-Za-z0-9]{20,}",  # Groq
    r"xai-[A-Za-z0-9]{20,}",
    r"hf_[A-Za-z0-9]{20,}",
    r"r8_[A-Za-z0-9]{30,}",  # Replicate
    r"pplx-[A-Za-z0-9]{30,}",
    r"AIza[A-Za-z0-9_-]{30,}",  # Google
    r"ya29\.[A-Za-z0-9_-]{20,}",  # Google OAuth
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",  # AWS access key id
    r"gh[pousr]_[A-Za-z0-9]{30,}",
    r"github_pat_[A-Za-z0-9_]{30,}",
    r"glpat-[A-Za-z0-9_-]{20,}",
    r"xox[abeprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{40,}",
    r"dop_v1_[a-f0-9]{64}",  # DigitalOcean
    r"(?:[rs]k|whsec)_(?:live_|test_)?[A-Za-z0-9+/]{16,}={0,2}",  # Stripe, Standard Webhooks
    # JWT; without the bound each "eyJ" of a hostile text would be looked for to its end
    r"eyJ[A-Za-z0-9_-]{8,4096}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{4,}",
)
_PEM: Final = r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"
_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_GROUPED: Final = r"[ .()/\u00a0-]{0,2}\d"
_LINKS: Final = (
    r"(?:(?:[\s:.#=(]{1,3}|['\u2019])"
    r"(?:numbers?|no|nr|num|me|us|him|her|them|back|on|at|is|was|to|my|the|s))*"
)
_PHONE_WORDS: Final = (
    r"(?:phone|tele(?:phone|fon|fono)|tel|mobile|cell|fax|call|dial|ring|sms|whatsapp|handy|hotline|reach|phoned"
    r"|(?:my|your|his|her|our|their|home|work|office|contact|daytime|emergency) number)"
)
_CARD_WORDS: Final = r"(?:cards?|cc|visa|mastercard|maestro|amex)"


@dataclass(frozen=True, slots=True)
class Hit:
    """A datum found: ``text[start:end]``."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Recogniser:
    """A kind of datum: its pattern, a check that tells it from look-alikes, and the words that must stand beside it."""

    kind: str
    pattern: re.Pattern[str]
    check: checks.Check | None = None
    needs: str = ""
    """A character without which the pattern cannot match: looking for it first is quicker."""
    before: re.Pattern[str] | None = None
    after: re.Pattern[str] | None = None
    """Where given, one of the two must match the text before or behind."""
    unless: re.Pattern[str] | None = None
    """Must not match the text before."""

    def hits(self, text: str) -> Iterator[Hit]:
        """Yield what is found."""
        if self.needs and self.needs not in text:
            return
        for match in self.pattern.finditer(text):
            start, end = match.span()
            if (self.check is None or self.check(match.group())) and self._named(text, start, end):
                yield Hit(self.kind, start, end)

    def _named(self, text: str, start: int, end: int) -> bool:
        prior = text[max(0, start - _BEFORE) : start]
        if self.unless is not None and self.unless.search(prior):
            return False
        if self.before is None and self.after is None:
            return True
        if self.before is not None and self.before.search(prior):
            return True
        return self.after is not None and self.after.match(text[end : end + _AFTER]) is not None


_BEFORE: Final = 40
_AFTER: Final = 12


def _said_before(words: str) -> re.Pattern[str]:
    # Not inside brackets: "[phone]" is what a number was replaced by.
    return re.compile(rf"(?<![\w\[]){words}{_LINKS}[\s:.#=(]{{0,4}}$", re.IGNORECASE)


_NUMBER_EDGE: Final = r"(?![\w/%]|[.,:-]\d)"
_VERSION: Final = re.compile(r"(?:version|release|firmware|build|chapter|section)[\s:=]{1,3}$", re.IGNORECASE)
_SAID_AFTER: Final = re.compile(r"[ -](?:office|fax|mobile|cell|home|work)\b", re.IGNORECASE)

RECOGNISERS: Final = (
    Recogniser("secret", re.compile(_PEM), needs="-----BEGIN"),
    Recogniser("secret", re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(_SECRETS) + ")")),
    Recogniser("secret", re.compile(r"(?<=[Bb]earer )[A-Za-z0-9._~+/-]{16,}=*"), needs="earer "),
    Recogniser("email", re.compile(r"[\w.%+'-]{1,64}@(?:[^\W_](?:[\w-]{0,62})\.){1,8}[^\W\d_]{2,24}"), needs="@"),
    Recogniser(
        "iban", re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,4})?\b"),
        checks.iban,
    ),
    Recogniser("ip", re.compile(rf"(?<![\d.\w])(?:{_OCTET}\.){{3}}{_OCTET}(?![\d.]*\d)"), needs=".", unless=_VERSION),
    Recogniser("ip", re.compile(r"(?<![A-Za-z0-9:])[0-9A-Fa-f:]{2,39}(?![A-Za-z0-9:])"), checks.ipv6, needs=":"),
    Recogniser("card", re.compile(rf"(?<![\w.-])\d(?:[ -]?\d){{12,18}}{_NUMBER_EDGE}"), checks.card),
    Recogniser(
        "card", re.compile(rf"(?<![\w.-])\d(?:[ -]?\d){{11,18}}{_NUMBER_EDGE}"), checks.named_card,
        before=_said_before(_CARD_WORDS),
    ),
    Recogniser("ssn", re.compile(rf"(?<![\w-])\d{{3}}([- ])\d{{2}}\1\d{{4}}{_NUMBER_EDGE}"), checks.ssn),
    Recogniser(
        "phone", re.compile(rf"(?<![\w+])(?:\+|\(\+)\d(?:{_GROUPED}){{7,14}}{_NUMBER_EDGE}"), checks.international,
        needs="+",
    ),
    Recogniser(
        "phone", re.compile(rf"(?<![\w.+-])\(?\d(?:{_GROUPED}){{5,14}}{_NUMBER_EDGE}"), checks.named_phone,
        before=_said_before(_PHONE_WORDS), after=_SAID_AFTER,
    ),
    Recogniser("phone", re.compile(rf"(?<![\w.+/-])\(?\d(?:{_GROUPED}){{8,14}}{_NUMBER_EDGE}"), checks.national),
)  # fmt: skip
"""In order of trust: what an earlier one takes, no later one sees."""

KINDS: Final = tuple(dict.fromkeys(recogniser.kind for recogniser in RECOGNISERS))
_DIGIT: Final = re.compile(r"\d")
_WITHOUT_DIGITS: Final = tuple(recogniser for recogniser in RECOGNISERS if recogniser.kind in {"secret", "email"})


def find(text: str) -> list[Hit]:
    """Return the data in ``text`` in their order; none overlap."""
    found: list[Hit] = []
    for recogniser in RECOGNISERS if _DIGIT.search(text) else _WITHOUT_DIGITS:
        found = sorted([*found, *_beside(found, recogniser.hits(text))], key=lambda hit: hit.start)
    return found


def _beside(taken: Sequence[Hit], hits: Iterable[Hit]) -> Iterator[Hit]:
    """Yield the hits that overlap nothing that is taken. Both are in order: each is passed once."""
    place = 0
    for hit in hits:
        while place < len(taken) and taken[place].end <= hit.start:
            place += 1
        if place == len(taken) or hit.end <= taken[place].start:
            yield hit


def mask(text: str) -> str:
    """``text`` without e-mail addresses, phone and card numbers, IBANs, SSNs, IP addresses, keys and tokens."""
    pieces, at = [], 0
    for hit in find(text):
        pieces += [text[at : hit.start], f"[{hit.kind}]"]
        at = hit.end
    return "".join(pieces) + text[at:] if pieces else text


def normalised(kind: str, value: str) -> str:
    """Return ``value`` so that two ways of writing one datum are equal."""
    if kind in {"card", "ssn", "phone"}:
        digits = checks.digits_of(value)
        return digits[-9:] if kind == "phone" else digits  # with or without the calling code or trunk prefix
    return "".join(value.split()).casefold()
