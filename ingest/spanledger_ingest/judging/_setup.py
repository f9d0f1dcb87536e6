"""The section ``[judge]``, checked."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from spanledger_alerts.delivery import check_url, parse_policy
from spanledger_alerts.errors import AddressRefusedError
from spanledger_ingest.judging._endpoint import Endpoint
from spanledger_ingest.settings import JudgeConfig, SettingsError, resolve_secret

PriceOf: TypeAlias = Callable[[str, str, int, int], Decimal | None]
"""What so many input and output tokens of a provider's model cost now; ``None`` if that is unknown."""
_MOST_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSetup:
    """What a judge is told and may cost."""

    endpoint: Endpoint
    share: float
    band: tuple[float, float]
    usd_per_day: Decimal
    tenants: frozenset[str]
    max_context: int
    mask: bool


def judge_setup(config: JudgeConfig, price: PriceOf) -> JudgeSetup | None:
    """Return the setup; ``None`` where no judge is wanted.

    Raises:
        SettingsError: it cannot be meant; the message says what can.
    """
    if not config.url:
        return None
    _refuse_what_cannot_be_meant(config)
    if price(config.provider, config.model, 1, 1) is None:
        raise SettingsError(
            f"judge.model: the price of {config.model!r} is not known, so judge.usd_per_day could not be kept;"
            " add it to [[prices.override]] (0 for a model of your own), or set judge.provider"
        )
    try:
        policy = parse_policy(allow=_list(config.allow), ports=_ports(config.ports), allow_http=config.allow_http)
        target = check_url(config.url.rstrip("/") + "/chat/completions", policy)
    except AddressRefusedError as error:
        raise SettingsError(f"judge.url: {error}") from error
    return JudgeSetup(
        endpoint=Endpoint(
            target=target,
            policy=policy,
            provider=config.provider,
            model=config.model,
            key=resolve_secret("judge.key", config.key) if config.key else None,
            max_output=config.max_output_tokens,
            timeout=config.timeout_seconds,
        ),
        share=config.share,
        band=(config.low, config.high),
        usd_per_day=Decimal(str(config.usd_per_day)),
        tenants=frozenset(_list(config.tenants)),
        max_context=config.max_context_chars,
        mask=config.mask,
    )


def _refuse_what_cannot_be_meant(config: JudgeConfig) -> None:
    if not config.model:
        raise SettingsError("judge.model: name the model that judges, such as gpt-5-mini")
    if config.key and not config.key.startswith(("env:", "file:")):
        raise SettingsError("judge.key: write env:NAME or file:PATH, not the key itself")
    if not config.low <= config.high <= 1:
        raise SettingsError("judge.low, judge.high: low is at most high, and high at most 1")
    if config.share > 1:
        raise SettingsError("judge.share: a share is at most 1")
    if not 0 < config.timeout_seconds <= _MOST_SECONDS:
        raise SettingsError(f"judge.timeout_seconds: more than 0 and at most {_MOST_SECONDS:g}")
    if not config.max_output_tokens or not config.max_context_chars:
        raise SettingsError("judge.max_output_tokens, judge.max_context_chars: more than 0")


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _ports(text: str) -> list[int]:
    try:
        return [int(part) for part in _list(text)]
    except ValueError as error:
        raise SettingsError("judge.ports: port numbers, separated by commas") from error
