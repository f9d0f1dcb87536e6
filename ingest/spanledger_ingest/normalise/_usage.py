"""Token counts, made to mean one thing: totals that include their classes."""

from typing import Any

from spanledger_analytics.records import Attributes, Usage, UsageSource
from spanledger_ingest.normalise._dialects import Dialect

_GOOGLE = ("gcp.gemini", "gcp.vertex_ai")
_COUNTING_FROM_THE_START = ("anthropic", *_GOOGLE)
"""Their streams carry counts before the end, so what an abandoned one says of the output is a placeholder or a part.
The others send usage with the last chunk: where it is there, the answer is complete."""


def usage_of(found: dict[str, Any], provider: str | None, dialect: Dialect) -> Usage:
    """Return the usage of one span.

    Args:
        found: Columns of the mapping table, counts already clean.
        provider: Canonical provider.
        dialect: Who wrote the span.
    """
    if _says_nothing(found):
        return Usage()
    reading, writing = found.get("cache_read"), found.get("cache_write")
    total_input = _with_cache(_input(found), (reading or 0) + (writing or 0), provider, dialect)
    if "aborted" in found and provider in _COUNTING_FROM_THE_START:
        output, reasoning = None, None
    else:
        output, reasoning = _with_reasoning(found, total_input, provider)
    hour = found.get("cache_write_1h")
    return Usage(
        input=total_input,
        output=output,
        cache_read=reading,
        cache_write=writing if writing is None else max(writing, hour or 0),
        cache_write_1h=hour if writing is not None else None,
        reasoning=reasoning,
        audio_input=_part(found.get("audio_input"), total_input),
        audio_output=_part(found.get("audio_output"), output),
    )


def source_of(usage: Usage, attributes: Attributes, scope_name: str, dialect: Dialect) -> UsageSource:
    """Return where the counts come from: the provider, the instrumentation's own guess, or nowhere."""
    if usage.input is None and usage.output is None:
        return "missing"
    if dialect.estimated_unless is not None:
        scope, proof = dialect.estimated_unless
        chat = attributes.get("gen_ai.operation.name") == "chat"
        if chat and scope_name == scope and proof not in attributes:
            return "estimated"
    return "provider"


def _says_nothing(found: dict[str, Any]) -> bool:
    # LiteLLM writes 0/0 for streams whose provider sent no usage; no model call takes zero tokens in.
    return not found.get("input") and not found.get("output")


def _input(found: dict[str, Any]) -> int | None:
    # An answer to nothing: LangChain loses what Anthropic says of the input at the start of a stream.
    missed = (
        found.get("input") == 0 and found.get("output") and not (found.get("cache_read") or found.get("cache_write"))
    )
    return None if missed else found.get("input")


def _with_cache(total: int | None, cached: int, provider: str | None, dialect: Dialect) -> int | None:
    if total is None or not cached:
        return total
    exclusive = cached > total or (provider is not None and provider in dialect.exclusive_input)
    return total + cached if exclusive else total


def _with_reasoning(
    found: dict[str, Any], total_input: int | None, provider: str | None
) -> tuple[int | None, int | None]:
    output, reasoning, total = found.get("output"), found.get("reasoning"), found.get("total")
    if output is None:
        return None, reasoning
    beside = total - output - total_input if total is not None and total_input is not None else 0
    if reasoning and (reasoning > output or reasoning == beside):
        return output + reasoning, reasoning
    # Google's total counts thoughts that Traceloop leaves out of the output; they are billed as output.
    if reasoning is None and beside > 0 and provider in _GOOGLE:
        return output + beside, beside
    return output, reasoning


def _part(part: int | None, whole: int | None) -> int | None:
    return None if part is None or whole is None or part > whole else part
