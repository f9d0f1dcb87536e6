"""Settings of the in-process part, and the only module of it that reads the environment.

Precedence: argument of :func:`spanledger.configure` > ``SPANLEDGER_*`` > ``OTEL_*`` > default. A bad argument raises
:class:`~spanledger.errors.ConfigurationError`; a bad environment value is logged once with the valid ones and ignored,
because an application must start whatever its environment says. The service name and everything else about the resource
stay OpenTelemetry's own business (``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``).
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from spanledger.errors import ConfigurationError

_logger = logging.getLogger("spanledger")

ContentPolicy = Literal["none", "masked", "full"]
BudgetMode = Literal["off", "observe", "enforce"]
OnError = Literal["allow", "block"]
CONTENT_POLICIES: tuple[str, ...] = get_args(ContentPolicy)
LIBRARIES: tuple[str, ...] = (
    "openai",
    "anthropic",
    "google-genai",
    "bedrock",
    "langchain",
    "llama-index",
    "litellm",
    "mistralai",
    "cohere",
    "groq",
    "ollama",
    "openai-agents",
)
"""The names that ``skip`` understands, which are also the names of the extras."""


def _flag(value: str | bool) -> bool:  # noqa: FBT001  # a parser takes what it is given
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return words[value.strip().lower()]
    except KeyError:
        raise ConfigurationError(f"{value!r} is neither true nor false; use 1 or 0") from None


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{value!r} is no http(s) address, like http://127.0.0.1:4318")
    return value.rstrip("/")


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        word = value.strip().lower()
        if word not in words:
            raise ConfigurationError(f"{value!r} is not one of {', '.join(words)}")
        return word

    return parse


_policy = _one_of(CONTENT_POLICIES)
_budget_mode = _one_of(get_args(BudgetMode))
_on_error = _one_of(get_args(OnError))


def _seconds(value: str | float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{value!r} is not a number of seconds") from None
    if not 0 < number < float("inf"):
        raise ConfigurationError(f"{value!r} is not a positive number of seconds")
    return number


def _bytes(value: str | int) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{value!r} is not a number of bytes") from None
    if number <= 0:
        raise ConfigurationError(f"{value!r} is not a positive number of bytes")
    return number


def _text(value: str) -> str:
    text = str(value).strip()
    if not text:
        raise ConfigurationError("it is empty")
    return text


def _names(value: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    wanted = tuple(name.strip().lower() for name in names if name.strip())
    unknown = [name for name in wanted if name not in LIBRARIES]
    if unknown:
        raise ConfigurationError(f"no library {', '.join(map(repr, unknown))}; known: {', '.join(LIBRARIES)}")
    return wanted


def _headers(value: str | Mapping[str, str]) -> Mapping[str, str]:
    """Parse W3C-baggage-like ``key=value,key=value`` as OTEL_EXPORTER_OTLP_HEADERS spells it (values URL-encoded)."""
    if isinstance(value, Mapping):
        return {str(key).lower(): str(item) for key, item in value.items()}
    pairs = [pair.split("=", 1) for pair in value.split(",") if pair.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise ConfigurationError("headers are not of the form key=value,key=value")
    return {unquote(key.strip()).lower(): unquote(item.strip()) for key, item in pairs}


def _setting(default: Any, parse: Callable[[Any], Any], *env: str, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"parse": parse, "env": env})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, with its default and the environment variables that set it, first one wins."""

    endpoint: str = _setting("http://127.0.0.1:4318", _url, "SPANLEDGER_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    """Base address of the service; ``/v1/traces`` and ``/v1/logs`` are added."""

    traces_endpoint: str | None = _setting(None, _url, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    """The address for spans as OpenTelemetry spells it; an ``endpoint`` argument or SPANLEDGER_ENDPOINT override it."""

    api_key: str | None = _setting(None, _text, "SPANLEDGER_API_KEY", secret=True)
    """Sent as ``Authorization: Bearer ...``."""

    headers: Mapping[str, str] | None = _setting(
        None,
        _headers,
        "SPANLEDGER_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "OTEL_EXPORTER_OTLP_HEADERS",
        secret=True,
    )
    """Further headers of each export."""

    capture_content: ContentPolicy = _setting("none", _policy, "SPANLEDGER_CAPTURE_CONTENT")  # noqa: RUF009  # a field
    """What leaves the process of prompts and answers: nothing, masked text, or all."""

    disabled: bool = _setting(False, _flag, "SPANLEDGER_DISABLED", "OTEL_SDK_DISABLED")  # noqa: FBT003  # a default
    """The kill switch: nothing is attached, stamped or sent."""

    skip: tuple[str, ...] = _setting((), _names, "SPANLEDGER_SKIP")
    """Libraries that are left alone, by the names of their extras."""

    include_usage: bool = _setting(True, _flag, "SPANLEDGER_INCLUDE_USAGE")  # noqa: FBT003  # a default
    """Ask OpenAI-compatible streams for their token usage where the caller did not."""

    spool_dir: str | None = _setting(None, _text, "SPANLEDGER_SPOOL_DIR")
    """Where spans wait while the receiver is away: by default in the user's cache directory; ``off`` is memory only."""

    spool_max_bytes: int = _setting(64 * 2**20, _bytes, "SPANLEDGER_SPOOL_MAX_BYTES")
    """What may wait there; the oldest spans are dropped first."""

    export_interval: float = _setting(1.0, _seconds, "SPANLEDGER_EXPORT_INTERVAL")
    """Seconds between two exports."""

    export_timeout: float = _setting(5.0, _seconds, "SPANLEDGER_EXPORT_TIMEOUT")
    """Seconds that one export may take."""

    budgets: BudgetMode = _setting("off", _budget_mode, "SPANLEDGER_BUDGETS")  # noqa: RUF009  # a field
    """Ask the service before each model call whether its budgets have room: not at all, to note it, or to obey."""

    budgets_on_error: OnError = _setting("allow", _on_error, "SPANLEDGER_BUDGETS_ON_ERROR")  # noqa: RUF009  # a field
    """What to do with a call when the service cannot be asked."""

    budgets_timeout: float = _setting(0.25, _seconds, "SPANLEDGER_BUDGETS_TIMEOUT")
    """Seconds that a model call waits for the answer at most."""

    raise_errors: bool = _setting(False, _flag, "SPANLEDGER_RAISE_ERRORS")  # noqa: FBT003  # a default
    """Raise Spanledger's own failures instead of logging them (tests, development)."""

    def base_url(self) -> str:
        """The address that ``/v1/traces`` and ``/v1/logs`` are added to."""
        return self.endpoint if self.traces_endpoint is None else self.traces_endpoint.removesuffix("/v1/traces")

    def request_headers(self) -> dict[str, str]:
        """Headers of an export request; the API key wins over an ``authorization`` among the headers."""
        headers = dict(self.headers or {})
        if self.api_key is not None:
            headers["authorization"] = f"Bearer {self.api_key}"
        return headers


_FIELDS = {item.name: item for item in fields(Settings)}


def resolve(arguments: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """Work the settings out of arguments, environment and defaults.

    Args:
        arguments: What :func:`spanledger.configure` was given; ``None`` means "not given".
        environ: The environment to read; the process's own by default.

    Raises:
        ConfigurationError: An argument is unknown or not valid.
    """
    environ = os.environ if environ is None else environ
    given = {name: value for name, value in arguments.items() if value is not None}
    values = {name: _parse_argument(name, value) for name, value in given.items()}
    for name, item in _FIELDS.items():
        if name not in values:
            values |= _from_environment(name, item.metadata, environ)
    if "traces_endpoint" not in given and ("endpoint" in given or environ.get("SPANLEDGER_ENDPOINT")):
        values["traces_endpoint"] = None
    return Settings(**values)


def _parse_argument(name: str, value: Any) -> Any:
    if name not in _FIELDS:
        raise ConfigurationError(f"no setting {name!r}; there are {', '.join(_FIELDS)}")
    try:
        return _FIELDS[name].metadata["parse"](value)
    except (ConfigurationError, AttributeError, TypeError) as error:
        raise ConfigurationError(f"{name}: {error}") from None


def _from_environment(name: str, metadata: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    for variable in metadata["env"]:
        raw = environ.get(variable, "").strip()
        if not raw:
            continue
        try:
            return {name: metadata["parse"](raw)}
        except ConfigurationError as error:
            shown = "value not shown" if not _FIELDS[name].repr else str(error)
            _logger.warning("%s is ignored: %s", variable, shown)
    return {}


CAPTURE_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The documented switch of the official instrumentors for recording content."""

_ours: dict[str, str] = {}


def default_environment(wanted: Mapping[str, str]) -> None:
    """Set what instrumentors and SDKs read from the environment, without touching anything the user chose."""
    for name, value in wanted.items():
        if name not in os.environ:
            os.environ[name] = _ours[name] = value


def withdraw_environment(name: str) -> None:
    """Take a default of ours back, unless somebody has changed it since."""
    value = _ours.pop(name, None)
    if value is not None and os.environ.get(name) == value:
        del os.environ[name]


def cache_home() -> Path:
    """The user's cache directory (XDG base directory specification)."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return Path(named) if named.startswith("/") else Path.home() / ".cache"
