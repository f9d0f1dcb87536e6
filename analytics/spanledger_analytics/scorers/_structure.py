"""Structured output: whether it is the JSON that the request demanded."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema import ValidationError
from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator, extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from spanledger_analytics import evaluation
from spanledger_analytics.evaluation import Evidence, Extract, Feature
from spanledger_analytics.scorers._base import Judgement, SingleScorer

_MAX_CHARS: Final = 1_000_000
_MAX_STEPS: Final = 20_000
"""Keywords applied in one check: a schema can be made to branch without end."""

_FENCE: Final = re.compile(r"```[a-zA-Z]*\s*\n?([\s\S]*?)\n?\s*```")
_UNCHECKED: Final = frozenset({"pattern", "patternProperties", "format", "propertyNames", "dependentSchemas"})
"""Regular expressions of strangers can take for ever."""


class _TooMuchError(Exception):
    """The check takes too many steps."""


class Structure(SingleScorer):
    """``json_validity``: 1 for JSON that meets the schema, a half if it had to be dug out of prose, else 0."""

    name = "json_validity"
    version = "1.0.0"

    def judge(self, evidence: Evidence) -> Judgement | str:
        """See :class:`SingleScorer`."""
        if not evidence.wants_json and evidence.schema is None:
            return evaluation.NO_SCHEMA if evidence.output is not None else evaluation.NO_CONTENT
        if evidence.output is None:
            return evaluation.NO_CONTENT
        if not evidence.output.strip() and evidence.tool_calls:
            return evaluation.STRUCTURED
        parsed = _parsed(evidence.output)
        if parsed is None:
            return _broken(evidence)
        value, dug_out = parsed
        if evidence.schema is None:
            return _sound(dug_out=dug_out, features={"schema": False})
        return _against(evidence.schema, value, dug_out=dug_out)


def _parsed(text: str) -> tuple[Any, bool] | None:
    if len(text) > _MAX_CHARS:
        return None
    fenced = _FENCE.search(text)
    inner = text[min(text.find("{") % (len(text) + 1), text.find("[") % (len(text) + 1)) :]
    for candidate, dug_out in ((text, False), (fenced[1] if fenced else "", True), (inner, True)):
        try:
            return (json.loads(candidate) if not dug_out else _first(candidate)), dug_out
        except (ValueError, RecursionError):
            continue
    return None


def _first(text: str) -> Any:
    value, _ = json.JSONDecoder().raw_decode(text.lstrip())
    return value


def _broken(evidence: Evidence) -> Judgement:
    output = evidence.output or ""
    offence = [Extract(start=0, end=len(output), reason="no JSON")] if output else []
    if evidence.finish_reason == "length":
        return Judgement(0.0, "fail", "the JSON was cut at the token limit", offence, {"state": "truncated"})
    return Judgement(0.0, "fail", "JSON was asked for, and this is none", offence, {"state": "invalid"})


def _sound(*, dug_out: bool, features: dict[str, Feature]) -> Judgement:
    if dug_out:
        return Judgement(0.5, "warn", "the JSON stands in other text", features=features | {"state": "repaired"})
    return Judgement(1.0, "pass", "the JSON is as asked for", features=features | {"state": "valid"})


def _against(schema: Mapping[str, Any], value: Any, *, dug_out: bool) -> Judgement | str:
    try:
        Draft202012Validator.check_schema(schema)
        error = next(iter(_validator(schema).iter_errors(value)), None)
    except (SchemaError, Unresolvable, RecursionError, _TooMuchError):
        return "bad_schema"
    if error is None:
        return _sound(dug_out=dug_out, features={"schema": True})
    # The name of the keyword and its place in the schema: the error's own message would quote the answer.
    rule = "/".join(map(str, error.absolute_schema_path))[:200]
    features: dict[str, Feature] = {"schema": True, "state": "violated", "rule": rule}
    return Judgement(0.0, "fail", f"the JSON breaks the schema's {error.validator}", features=features)


def _validator(schema: Mapping[str, Any]) -> Any:
    steps = iter(range(_MAX_STEPS))
    keywords = {name: _counted(check, steps) for name, check in Draft202012Validator.VALIDATORS.items()}
    keywords |= dict.fromkeys(_UNCHECKED, _unchecked)
    bounded: Any = extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]  # its stubs are partial
    return bounded(schema, registry=Registry())


def _counted(check: Any, steps: Iterator[int]) -> Any:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if next(steps, None) is None:
            raise _TooMuchError
        yield from check(validator, value, instance, schema) or ()

    return counted


def _unchecked(*_: Any) -> Iterator[ValidationError]:
    return iter(())
