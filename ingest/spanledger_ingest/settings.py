"""Settings of the service: argument > environment > file > default.

The file is TOML with one table per section; every key is also ``SPANLEDGER_<SECTION>_<KEY>`` in the environment. This
is the only module of the service that reads the environment.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from spanledger_ingest.errors import IngestError
from spanledger_ingest.secret import Secret

DEFAULT_FILE = Path("spanledger.toml")
DEFAULT_DATA = Path("spanledger-data")
DEFAULT_PG_PORT = 5433
ENV_PREFIX = "SPANLEDGER_"

MIB = 1024 * 1024


class SettingsError(IngestError):
    """A setting that cannot be meant; the message names the valid ones."""


def _setting(default: Any, doc: str, *, shown: bool = True) -> Any:
    return field(default=default, repr=shown, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the service listens; port 0 means any free port."""

    host: str = _setting("127.0.0.1", "Address to listen on; beyond loopback only once there is an API key or issuer.")
    port: int = _setting(4318, "OTLP/HTTP, REST API and health; 0 is any free port.")
    grpc_port: int = _setting(4317, "OTLP/gRPC; 0 is any free port.")
    pg_port: int = _setting(
        DEFAULT_PG_PORT, "SQL for PostgreSQL clients; 0 is any free port, as is this default where server.port is 0."
    )

    @property
    def wire_port(self) -> int:
        """The port for PostgreSQL clients: who lets HTTP take any free port does not want a fixed one there."""
        return 0 if self.port == 0 and self.pg_port == DEFAULT_PG_PORT else self.pg_port


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Where and how spans are kept."""

    data: Path = _setting(DEFAULT_DATA, "Directory of the database and the journal.")
    memory_mib: int = _setting(0, "Memory limit of the database, MiB; 0 leaves it to the database.")
    threads: int = _setting(0, "Threads of the database; 0 is one per core.")


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """Limits of the receivers and the rhythm of the writer."""

    max_body_mib: int = _setting(64, "Largest request, MiB, before and after decompression.")
    max_items: int = _setting(100_000, "Most spans, log records or metric points in one request.")
    backlog_mib: int = _setting(1024, "Journal kept for the writer, MiB; above it clients are asked to retry.")
    commit_seconds: float = _setting(1.0, "Longest wait before received spans are committed, seconds.")
    second_process: bool = _setting(
        default=True, doc="Read large backlogs in a process of its own, where there is more than one core."
    )


@dataclass(frozen=True, slots=True)
class ContentConfig:
    """What becomes of prompt and completion text."""

    policy: Literal["none", "masked", "full"] = _setting(
        "none", "Prompt and completion text: none is not stored, masked hides personal data, full keeps it."
    )


@dataclass(frozen=True, slots=True)
class ScoringConfig:
    """Quality scores of stored answers; they need stored text (``content.policy``)."""

    enabled: bool = _setting(default=True, doc="Score calls whose text is stored, some seconds after they are.")
    quiet_seconds: float = _setting(5.0, "Wait so long for the rest of a trace, seconds.")
    late_seconds: float = _setting(300.0, "Look again after so long, for text that came late, seconds.")
    events: Literal["none", "flagged", "all"] = _setting(
        "all", "Scores that also become log events: flagged are those that fail or warn, all those with a number."
    )
    events_per_minute: int = _setting(6000, "Most events of scores in a minute; what fails goes first.")


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """A language model that judges answers which the words alone leave open. It costs money and sends text away."""

    url: str = _setting("", "Base of an API like OpenAI's, such as https://api.openai.com/v1; empty is no judge.")
    key: str = _setting("", "Its key, as env:NAME or file:PATH.", shown=False)
    model: str = _setting("", "The model that judges; its price must be known.")
    provider: str = _setting("openai", "Who sells it, for the price.")
    share: float = _setting(0.2, "The part of the doubtful answers that is judged, 0 to 1.")
    low: float = _setting(0.35, "Doubtful is a groundedness (its confidence, once calibrated) from here ...")
    high: float = _setting(0.7, "... to here.")
    usd_per_day: float = _setting(1.0, "What it may cost in a day (UTC), US dollars.")
    tenants: str = _setting("", "Tenants whose answers may be sent to it, separated by commas; empty is all.")
    mask: bool = _setting(default=True, doc="Hide personal data from it.")
    timeout_seconds: float = _setting(30.0, "Longest wait for its answer, seconds.")
    max_context_chars: int = _setting(12_000, "Characters of context that it is sent.")
    max_output_tokens: int = _setting(500, "Tokens that it may answer with, reasoning included.")
    allow: str = _setting("", "Networks, addresses and host names of your own that url may lead to, by commas.")
    allow_http: bool = _setting(default=False, doc="Ask without encryption.")
    ports: str = _setting("", "Ports beside 443 and 8443, separated by commas.")


@dataclass(frozen=True, slots=True)
class PricesConfig:
    """Prices of your own, which win over the price book."""

    override: Sequence[Mapping[str, Any]] = _setting((), "List of tables; see docs/pricing.md.")


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Who may use the service; API keys are made with ``spanledger keys``."""

    required: bool = _setting(default=False, doc="Ask for a credential even while no API key exists.")
    issuer: Sequence[Mapping[str, Any]] = _setting(
        (), "List of tables: identity providers; see docs/security.md.", shown=False
    )


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Encryption of both listeners. The files are PEM; the key has no passphrase."""

    cert: str = _setting("", "File of the certificate, with its chain; empty is no TLS.")
    key: str = _setting("", "File of its private key.")
    client_ca: str = _setting("", "File of the authorities whose client certificates are demanded; empty is none.")


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """For how many days each signal is kept, counted from its own time; 0 is for ever."""

    spans_days: int = _setting(90, "Spans, without text.")
    calls_days: int = _setting(400, "Calls with tokens and costs; at least as long as spans.")
    content_days: int = _setting(30, "Prompt and completion text, where it is stored at all.")
    logs_days: int = _setting(90, "Log records.")
    metrics_days: int = _setting(400, "Metric points.")
    scores_days: int = _setting(400, "Scores.")
    labels_days: int = _setting(0, "What people said of answers.")
    rejected_days: int = _setting(30, "Dead letters.")
    interval_minutes: int = _setting(60, "How often what is too old is deleted, minutes; 0 is never.")
    compact_percent: int = _setting(
        50, "Rewrite the file when this part of it is free, to give space back, percent; 0 is never."
    )
    tenant: Sequence[Mapping[str, Any]] = _setting((), "List of tables: tenants by name with days of their own.")


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """What each tenant may send; 0 is no limit. Without credentials there are no tenants to limit."""

    requests_per_second: float = _setting(500.0, "Requests of one tenant, per signal.")
    items_per_second: float = _setting(50_000.0, "Spans, log records or metric points of one tenant, per signal.")
    mib_per_second: float = _setting(64.0, "MiB of one tenant as received, per signal.")
    burst_seconds: float = _setting(10.0, "So many seconds of a rate may come at once.")
    items_per_day: float = _setting(0.0, "Items of one tenant in a day (UTC), all signals together.")
    mib_per_day: float = _setting(0.0, "MiB of one tenant as received in a day (UTC), all signals together.")
    tenant: Sequence[Mapping[str, Any]] = _setting((), "List of tables: a tenant's own limits; see docs/security.md.")


@dataclass(frozen=True, slots=True)
class AlertingConfig:
    """How alerts are told; the rules are ``[rules.NAME]``."""

    enabled: bool = _setting(default=True, doc="Evaluate rules and tell alerts.")
    group_wait: str = _setting("30s", "From the first alert of a group to its message, for others to join.")
    group_interval: str = _setting("5m", "At least that long between two messages about changes in a group.")
    repeat_interval: str = _setting("4h", "Until a message is repeated while nothing changes.")
    max_per_message: int = _setting(20, "Alerts in one message; the rest is counted.")
    page_url: str = _setting("", "Where people find this service, for links in messages: https://ledger.example.")
    inhibit: Sequence[Mapping[str, Any]] = _setting(
        (), "List of tables: alerts that mute others; see docs/alerts.md. Adds to the built-in ones."
    )


@dataclass(frozen=True, slots=True)
class RoutesConfig:
    """Who is told of which alerts."""

    default: str = _setting("", "Receivers of what no route matches, separated by commas; empty is all.")
    route: Sequence[Mapping[str, Any]] = _setting((), "List of tables, the first match wins; see docs/alerts.md.")


NAMED: dict[str, str] = {"rules": "docs/alerts.md", "budgets": "docs/budgets.md", "receivers": "docs/alerts.md"}
"""Sections of tables with names of your own, ``[rules.NAME]``, and where they are described."""

Named = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class DetectionConfig:
    """Finding what changed: anomalies of cost, errors, latency, tokens and traffic."""

    enabled: bool = _setting(default=True, doc="Look for anomalies.")
    false_alarms_per_week: float = _setting(1.0, "About how many anomalies a week may be chance, all tenants together.")
    planned: Sequence[Mapping[str, Any]] = _setting(
        (), "List of tables: announced changes, which are no anomalies; see docs/anomalies.md."
    )


@dataclass(frozen=True, slots=True)
class GrafanaConfig:
    """The Grafana that ``spanledger dashboards`` provisions and ``spanledger doctor`` looks at."""

    url: str = _setting("", "Where it is: http://grafana.example:3000; empty is none.")
    token: str = _setting("", "Token of a service account there, role Admin: env:NAME or file:PATH.", shown=False)
    sql_address: str = _setting("", "The SQL port here as Grafana sees it, HOST:PORT; empty is that of [server].")
    service_url: str = _setting("", "The HTTP port here as Grafana sees it; empty is that of [server].")
    user: str = _setting("all", "Whose rows it shows: a tenant, or all.")
    key: str = _setting("", "API key of that tenant, role engineer, as env:NAME or file:PATH.", shown=False)
    sslmode: Literal["", "disable", "require", "verify-full"] = _setting(
        "", "TLS of the SQL port; empty is disable on loopback and require elsewhere."
    )
    receiver: str = _setting("", "Name of an existing contact point for its alert rules; empty follows its policies.")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one service."""

    server: ServerConfig = ServerConfig()
    store: StoreConfig = StoreConfig()
    ingest: IngestConfig = IngestConfig()
    content: ContentConfig = ContentConfig()
    scoring: ScoringConfig = ScoringConfig()
    judge: JudgeConfig = JudgeConfig()
    prices: PricesConfig = PricesConfig()
    retention: RetentionConfig = RetentionConfig()
    auth: AuthConfig = AuthConfig()
    tls: TlsConfig = TlsConfig()
    limits: LimitsConfig = LimitsConfig()
    detection: DetectionConfig = DetectionConfig()
    alerting: AlertingConfig = AlertingConfig()
    routes: RoutesConfig = RoutesConfig()
    grafana: GrafanaConfig = GrafanaConfig()
    rules: Named = field(default_factory=dict)
    budgets: Named = field(default_factory=dict)
    receivers: Named = field(default_factory=dict, repr=False)


SECTIONS: dict[str, Any] = {
    "server": ServerConfig,
    "store": StoreConfig,
    "ingest": IngestConfig,
    "content": ContentConfig,
    "scoring": ScoringConfig,
    "judge": JudgeConfig,
    "prices": PricesConfig,
    "retention": RetentionConfig,
    "auth": AuthConfig,
    "tls": TlsConfig,
    "limits": LimitsConfig,
    "detection": DetectionConfig,
    "alerting": AlertingConfig,
    "routes": RoutesConfig,
    "grafana": GrafanaConfig,
}

Values = dict[str, dict[str, Any]]
"""Section -> key -> value."""


def load_settings(file: Path | None = None, arguments: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """Read the settings.

    Args:
        file: the TOML file; without it ``spanledger.toml`` in the current directory is read if it is there.
        arguments: section -> key -> value from the command line; ``None`` values are ignored.

    Raises:
        SettingsError: an unknown section or key, or a value of the wrong kind.
    """
    merged: Values = {section: {} for section in (*SECTIONS, *NAMED)}
    for layer in (_from_file(file), _from_environment(os.environ), _from_arguments(arguments or {})):
        for section, values in layer.items():
            merged[section].update(values)
    built: dict[str, Any] = {section: config(**merged[section]) for section, config in SECTIONS.items()}
    built |= {section: merged[section] for section in NAMED}
    return Settings(**built)


def _from_file(file: Path | None) -> Values:
    path = file or DEFAULT_FILE
    if file is None and not path.is_file():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the configuration file {str(path)!r}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    return {section: _section(path, section, table) for section, table in tables.items()}


def _section(path: Path, section: str, table: Any) -> dict[str, Any]:
    if section in NAMED:
        return _named(path, section, table)
    if section not in SECTIONS:
        raise SettingsError(f"{path}: unknown section [{section}]{_nearest(section, (*SECTIONS, *NAMED))}")
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: {section} is a section: write [{section}] and its keys below it")
    return {key: _checked(f"{path}: {section}.{key}", section, key, value) for key, value in table.items()}


def _named(path: Path, section: str, tables: Any) -> dict[str, Any]:
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise SettingsError(f"{path}: write [{section}.NAME] and the keys below it; see {NAMED[section]}")
    return tables


def _from_environment(environment: Mapping[str, str]) -> Values:
    values: Values = {}
    for name in sorted(environment):
        section, separator, key = name.removeprefix(ENV_PREFIX).lower().partition("_")
        # Other SPANLEDGER_* names belong to the instrumentation inside applications.
        if not name.startswith(ENV_PREFIX) or section not in SECTIONS or not separator:
            continue
        values.setdefault(section, {})[key] = _checked(name, section, key, environment[name])
    return values


def _from_arguments(arguments: Mapping[str, Mapping[str, Any]]) -> Values:
    return {
        section: {
            key: _checked(f"{section}.{key}", section, key, value) for key, value in values.items() if value is not None
        }
        for section, values in arguments.items()
    }


def _checked(where: str, section: str, key: str, value: Any) -> Any:
    kinds = {item.name: item.type for item in fields(SECTIONS[section])}
    if key not in kinds:
        raise SettingsError(f"{where}: no such setting{_nearest(key, kinds)}")
    return _convert(where, kinds[key], value)


def _convert(where: str, kind: Any, value: Any) -> Any:
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise SettingsError(f"{where}: {value!r} is not one of {', '.join(get_args(kind))}")
        return value
    if kind is bool:
        return _switch(where, value)
    if kind in (int, float):
        return _number(where, kind, value)
    if kind is Path or kind is str:
        if not isinstance(value, str | Path):
            raise SettingsError(f"{where}: {value!r} is not text")
        return kind(value)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise SettingsError(f"{where}: a list of tables is wanted, which only the configuration file can hold")
    return tuple(value)


def _switch(where: str, value: Any) -> bool:
    switch = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
    if switch is None:
        raise SettingsError(f"{where}: {value!r} is neither true nor false")
    return switch


def convert_number(where: str, value: Any) -> float:
    """Return a number of zero or more.

    Raises:
        SettingsError: it is none.
    """
    return _number(where, float, value)


def _number(where: str, kind: type[int] | type[float], value: Any) -> float:
    try:
        number = kind(value) if isinstance(value, str) or not isinstance(value, bool) else None
    except (TypeError, ValueError):
        number = None
    if number is None or not 0 <= number < float("inf") or (kind is int and number != float(value)):
        noun = "whole number" if kind is int else "number"
        raise SettingsError(f"{where}: {value!r} is not a {noun} of zero or more")
    return number


def resolve_secret(where: str, text: Any) -> Secret:
    """Return a secret that is named as ``env:NAME`` or ``file:PATH``, or else is the text itself.

    Raises:
        SettingsError: there is nothing under that name.
    """
    if not isinstance(text, str) or not text:
        raise SettingsError(f"{where}: a secret is text, such as env:NAME or file:PATH")
    source, _, name = text.partition(":")
    if source not in ("env", "file"):
        return Secret(text)
    found = os.environ.get(name, "") if source == "env" else _secret_file(where, Path(name))
    if not found.strip():
        raise SettingsError(f"{where}: {text} is empty or missing")
    return Secret(found.strip())


def _secret_file(where: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: the file {str(path)!r} cannot be read: {error}") from error


def refuse_unknown(where: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse keys of a table that do not exist.

    Raises:
        SettingsError: there is one; the message names the nearest known.
    """
    for key in table:
        if key not in known:
            raise SettingsError(f"{where}.{key}: no such setting{_nearest(key, known)}")


def client_api_key(argument: str | None) -> Secret | None:
    """Return the API key for commands that ask a service: from the option, else from ``SPANLEDGER_API_KEY``.

    Raises:
        SettingsError: the option is the key itself, which every user of the machine could see.
    """
    if argument is None:
        text = os.environ.get("SPANLEDGER_API_KEY", "")
        return resolve_secret("SPANLEDGER_API_KEY", text) if text else None
    if not argument.startswith(("env:", "file:")):
        raise SettingsError("--api-key: write env:NAME or file:PATH; others can read what stands on the command line")
    return resolve_secret("--api-key", argument)


def _nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(known)}"
