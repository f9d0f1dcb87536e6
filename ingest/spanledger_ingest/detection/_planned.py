"""Changes that were announced: in the configuration, and over REST together with silences."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from spanledger_alerts.engine import Mute
from spanledger_analytics.detect import MINUTE_NS, Planned
from spanledger_ingest.settings import DetectionConfig, SettingsError, refuse_unknown

DIMENSIONS: Final = ("tenant", "model", "provider", "use_case", "region")
_KEYS: Final = ("at", "until", "label", *DIMENSIONS)
_HOUR: Final = timedelta(hours=1)


def configured_changes(config: DetectionConfig) -> list[Planned]:
    """Return the changes of ``[[detection.planned]]``.

    Raises:
        SettingsError: one cannot be meant.
    """
    return [_change(f"detection.planned[{number}]", table) for number, table in enumerate(config.planned)]


def planned_changes(mutes: Iterable[Mute]) -> Iterator[Planned]:
    """Yield what planned changes of alerts say about calls: those that name nothing but dimensions of calls."""
    for mute in mutes:
        dimensions = {one.name: one.value for one in mute.matchers if one.name in DIMENSIONS and one.operator == "="}
        if len(dimensions) == len(mute.matchers):
            yield Planned(
                start=mute.starts // MINUTE_NS,
                end=mute.ends // MINUTE_NS,
                label=mute.comment,
                owner=mute.owner,
                dimensions=dimensions,
            )


def _change(where: str, table: Mapping[str, Any]) -> Planned:
    refuse_unknown(where, table, _KEYS)
    start = _moment(f"{where}.at", table.get("at"))
    end = start + _HOUR if table.get("until") is None else _moment(f"{where}.until", table["until"])
    if end < start:
        raise SettingsError(f"{where}: until lies before at")
    dimensions = {name: table[name] for name in DIMENSIONS if name in table}
    for name, value in dimensions.items():
        if not isinstance(value, str) or not value:
            raise SettingsError(f"{where}.{name}: {value!r} is not a name")
    label = table.get("label", "a change")
    if not isinstance(label, str) or not label:
        raise SettingsError(f"{where}.label: say in a few words what changes")
    return Planned(start=_minute(start), end=_minute(end), label=label, dimensions=dimensions)


def _moment(where: str, value: Any) -> datetime:
    """Return a TOML date-time, or one written as text."""
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise SettingsError(f"{where}: {value!r} is no time; write 2026-03-01T12:00:00Z") from error
    return found.replace(tzinfo=found.tzinfo or UTC)


def _minute(moment: datetime) -> int:
    return int(moment.timestamp() // 60)
