"""Requests of the SDKs by what they can cost: how much goes in at most, how much may come out, where to say less."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_UNKNOWN_INPUT = 1_000_000
"""Tokens of input that a reference to something elsewhere may stand for: a conversation, a file, a search."""
_IMAGE_INPUT = 40_000
"""The same for an image that the provider fetches."""
_OVERHEAD = 1_000
"""Tokens that providers add around messages and tools."""
_IMAGES = ('"image_url"', '"input_image"', '"image"')
_REFERENCES = ('"file_id"', '"document"', '"container_upload"', '"video"', '"video_url"', '"input_audio"', '"audio"')
_REFERRING = ("previous_response_id", "conversation", "prompt", "container", "mcp_servers")
_OWN_TOOLS = frozenset({None, "function", "custom"})
_TEXT_CLASSES = ("input", "cache_read", "output", "reasoning", "citation")
_LEAST_OUT = 16
"""Fewer tokens are refused by some APIs."""

_LIMITS: Mapping[str, tuple[str, ...]] = {
    "/chat/completions": ("max_completion_tokens", "max_tokens"),
    "/completions": ("max_tokens",),
    "/responses": ("max_output_tokens",),
    "/embeddings": (),
    "/v1/messages": ("max_tokens",),
    "/v1/complete": ("max_tokens_to_sample",),
}
"""What is asked about, by the end of the path, longer ones first; and where the limit of output stands."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request may use."""

    model: str
    input_tokens: int
    max_tokens: int | None
    min_tokens: int
    choices: int
    classes: tuple[str, ...] | None
    service_tier: str | None
    limit: str
    """Where the limit of output stands, or would stand; empty where there is none."""


def demand_of(sdk: str, client: Any, options: Any) -> Demand | None:
    """What a request may use; ``None`` for one that is not a model call with text."""
    body = body_of(options)
    path = str(options.url).partition("?")[0]
    names = next((names for end, names in _LIMITS.items() if path.endswith(end)), None)
    model = body.get("model")
    if names is None or not isinstance(model, str):
        return None
    text = json.dumps(body, ensure_ascii=False, default=str)
    limit = _limit(names, body, str(client.base_url))
    tier = body.get("service_tier")
    return Demand(
        model=model,
        input_tokens=_input_bound(body, text),
        max_tokens=_whole(body.get(limit)) if names else 0,
        min_tokens=_least(body),
        choices=_whole(body.get("best_of") or body.get("n")) or 1,
        classes=_classes(sdk, body, text),
        service_tier=tier if isinstance(tier, str) else None,
        limit=limit if names else "",
    )


def body_of(options: Any) -> dict[str, Any]:
    """The body as it will be sent."""
    body = options.json_data if isinstance(options.json_data, Mapping) else {}
    return {**body, **(options.extra_json or {})}


def limited(options: Any, demand: Demand, tokens: int) -> dict[str, Any]:
    """The fields of the options to change, so that no more than ``tokens`` come out."""
    extra = options.extra_json
    if extra and demand.limit in extra:
        return {"extra_json": {**extra, demand.limit: tokens}}
    return {"json_data": {**(options.json_data or {}), demand.limit: tokens}}


def _limit(names: tuple[str, ...], body: Mapping[str, Any], base: str) -> str:
    """Where the limit stands; where it would be understood, if there is none: old servers do not know new names."""
    used = [name for name in names if name in body]
    if used or not names:
        return used[0] if used else ""
    host = urlsplit(base).hostname or ""
    return names[0] if host.endswith(("openai.com", "openai.azure.com")) else names[-1]


def _input_bound(body: Mapping[str, Any], text: str) -> int:
    """Tokens of input at most: no tokenizer makes more of a text than it has bytes."""
    bound = len(text.encode("utf-8", "surrogatepass")) + _OVERHEAD
    bound += _IMAGE_INPUT * sum(text.count(word) for word in _IMAGES)
    tools = body.get("tools") or ()
    reaches_out = any(isinstance(tool, Mapping) and tool.get("type") not in _OWN_TOOLS for tool in tools)
    if reaches_out or any(body.get(name) for name in _REFERRING if not isinstance(body.get(name), str | list)):
        return bound + _UNKNOWN_INPUT
    refers = any(word in text for word in _REFERENCES)
    return bound + (_UNKNOWN_INPUT if refers or body.get("previous_response_id") else 0)


def _classes(sdk: str, body: Mapping[str, Any], text: str) -> tuple[str, ...] | None:
    """The classes of token that can be billed, ``None`` for any: text is never billed as sound."""
    if "modalities" in body or any(word in text for word in (*_IMAGES, *_REFERENCES)):
        return None
    writes = sdk != "anthropic" or '"cache_control"' in text
    classes = _TEXT_CLASSES + (("cache_write",) if writes else ())
    return (*classes, "cache_write_1h") if '"1h"' in text else classes


def _least(body: Mapping[str, Any]) -> int:
    thinking = body.get("thinking")
    budget = _whole(thinking.get("budget_tokens")) if isinstance(thinking, Mapping) else None
    return (budget or 0) + _LEAST_OUT


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
