"""Golden costs: what providers really answer, its usage by class, and the cost worked out by hand.

The payloads in ``tests/data/provider_responses.json`` have the shape of real responses. The prices in the arithmetic
are the providers' published list prices, USD per million tokens, as genai-prices 0.2.3 records them; nothing here is
computed by the code under test.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN
from decimal import Decimal as D  # noqa: N817 - the arithmetic is what there is to read here
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from spanledger_analytics.records import Call, CallFacts, Usage
from spanledger_ingest.price_book import PriceBook

PAYLOADS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data" / "provider_responses.json").read_text())
BOOK = PriceBook.build()
M = D(1_000_000)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

Reader = Callable[[Any], tuple[Usage, str | None, str | None]]
"""Response -> usage by class, model that answered, service tier: what an instrumentor reads."""


def chat_usage(usage: dict[str, Any]) -> Usage:
    given, made = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return Usage(
        input=usage["prompt_tokens"],
        output=usage.get("completion_tokens"),
        cache_read=given.get("cached_tokens"),
        reasoning=made.get("reasoning_tokens"),
        audio_input=given.get("audio_tokens"),
        audio_output=made.get("audio_tokens"),
    )


def chat(body: Any) -> tuple[Usage, str | None, str | None]:
    return chat_usage(body["usage"]), body["model"], body.get("service_tier")


def chat_stream(chunks: Any) -> tuple[Usage, str | None, str | None]:
    usages = [chunk.get("usage") or chunk.get("x_groq", {}).get("usage") for chunk in chunks]
    return (chat_usage(usages[-1]) if usages[-1] else Usage()), chunks[-1]["model"], None


def xai(body: Any) -> tuple[Usage, str | None, str | None]:
    """xAI counts reasoning beside the completion, not in it."""
    usage = chat_usage(body["usage"])
    total = (usage.output or 0) + (usage.reasoning or 0)
    return (
        Usage(input=usage.input, output=total, cache_read=usage.cache_read, reasoning=usage.reasoning),
        body["model"],
        None,
    )


def responses(body: Any) -> tuple[Usage, str | None, str | None]:
    usage = body["usage"]
    found = Usage(
        input=usage["input_tokens"],
        output=usage["output_tokens"],
        cache_read=usage["input_tokens_details"]["cached_tokens"],
        reasoning=usage["output_tokens_details"]["reasoning_tokens"],
    )
    return found, body["model"], body["service_tier"]


def realtime(event: Any) -> tuple[Usage, str | None, str | None]:
    usage = event["response"]["usage"]
    given, made = usage["input_token_details"], usage["output_token_details"]
    found = Usage(
        input=usage["input_tokens"],
        output=usage["output_tokens"],
        cache_read=given["cached_tokens"],
        audio_input=given["audio_tokens"],
        audio_cache_read=given["cached_tokens_details"]["audio_tokens"],
        audio_output=made["audio_tokens"],
    )
    return found, None, None


def transcription(body: Any) -> tuple[Usage, str | None, str | None]:
    usage = body["usage"]
    audio = usage["input_token_details"]["audio_tokens"]
    return Usage(input=usage["input_tokens"], output=usage["output_tokens"], audio_input=audio), None, None


def image(body: Any) -> tuple[Usage, str | None, str | None]:
    usage = body["usage"]
    found = Usage(
        input=usage["input_tokens"],
        output=usage["output_tokens"],
        image_input=usage["input_tokens_details"]["image_tokens"],
        image_output=usage["output_tokens_details"]["image_tokens"],
    )
    return found, None, None


def anthropic_usage(usage: dict[str, Any]) -> Usage:
    """Anthropic counts cached input beside the input, not in it."""
    read, write = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    return Usage(
        input=usage["input_tokens"] + read + write,
        output=usage["output_tokens"],
        cache_read=read,
        cache_write=write,
        cache_write_1h=usage["cache_creation"]["ephemeral_1h_input_tokens"],
    )


def anthropic(body: Any) -> tuple[Usage, str | None, str | None]:
    message = body["result"]["message"] if "result" in body else body
    usage = message["usage"]
    return anthropic_usage(usage), message["model"], usage.get("speed") or usage["service_tier"]


def anthropic_stream(events: Any) -> tuple[Usage, str | None, str | None]:
    usage = events[0]["message"]["usage"] | events[-2]["usage"]
    return anthropic_usage(usage), events[0]["message"]["model"], usage["service_tier"]


def gemini(body: Any) -> tuple[Usage, str | None, str | None]:
    """Gemini counts thoughts beside the candidates, and the prompts of its own tools beside the prompt."""
    usage = body["usageMetadata"]

    def of(details: str, modality: str) -> int:
        return sum(part["tokenCount"] for part in usage.get(details, ()) if part["modality"] == modality)

    found = Usage(
        input=usage["promptTokenCount"] + usage.get("toolUsePromptTokenCount", 0),
        output=usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0),
        cache_read=usage.get("cachedContentTokenCount", 0),
        reasoning=usage.get("thoughtsTokenCount", 0),
        audio_input=of("promptTokensDetails", "AUDIO"),
        audio_cache_read=of("cacheTokensDetails", "AUDIO"),
        image_output=of("candidatesTokensDetails", "IMAGE"),
    )
    return found, body.get("modelVersion"), None


def gemini_stream(chunks: Any) -> tuple[Usage, str | None, str | None]:
    return gemini(chunks[-1])


def cohere(body: Any) -> tuple[Usage, str | None, str | None]:
    """Cohere bills other numbers than it consumed."""
    billed = (body.get("usage") or body["meta"])["billed_units"]
    return Usage(input=billed["input_tokens"], output=billed.get("output_tokens")), None, None


def converse(body: Any) -> tuple[Usage, str | None, str | None]:
    """Bedrock counts cached input beside the input."""
    usage = body["usage"]
    read, write = usage["cacheReadInputTokens"], usage["cacheWriteInputTokens"]
    total = usage["inputTokens"] + read + write
    return Usage(input=total, output=usage["outputTokens"], cache_read=read, cache_write=write), None, None


def ollama(body: Any) -> tuple[Usage, str | None, str | None]:
    return Usage(input=body["prompt_eval_count"], output=body["eval_count"]), body["model"], None


class Golden(NamedTuple):
    """A payload, how it is read, who sold it, what it used (zeros left out), and what it costs or why it does not."""

    payload: str
    reader: Reader
    provider: str
    used: dict[str, int]
    expected: D | str
    request_model: str | None = None
    at: datetime = NOON
    batch: bool = False
    operation: str = "chat"


def used(input: int | None = None, output: int | None = None, **parts: int) -> dict[str, int]:  # noqa: A002
    totals = {"input": input, "output": output}
    return {name: count for name, count in totals.items() if count is not None} | parts


BEFORE = datetime(2025, 6, 9, 23, 59, 59, tzinfo=UTC)
AFTER = datetime(2025, 6, 10, tzinfo=UTC)
BEDROCK_US = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
BEDROCK_GLOBAL = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"

# fmt: off
OPENAI = [
    # gpt-4o: input 2.50, cached 1.25, output 10
    Golden("openai-chat", chat, "openai", used(14, 17), D(14) * D("2.5") / M + D(17) * D(10) / M),
    Golden("openai-chat-cached", chat, "openai", used(2048, 17, cache_read=1920),
           D(128) * D("2.5") / M + D(1920) * D("1.25") / M + D(17) * D(10) / M),
    Golden("openai-chat-stream", chat_stream, "openai", used(14, 17), D(14) * D("2.5") / M + D(17) * D(10) / M),
    Golden("openai-chat-stream-without-usage", chat_stream, "openai", used(), "no_usage"),
    Golden("azure-chat", chat, "azure.ai.openai", used(600, 60), D(600) * D("2.5") / M + D(60) * D(10) / M, "prod-4o"),
    # the May 2024 snapshot kept its price: 5 and 15
    Golden("openai-chat-old-snapshot", chat, "openai", used(1000, 200),
           D(1000) * D(5) / M + D(200) * D(15) / M, "gpt-4o"),
    # gpt-4o-mini: 0.15 and 0.60
    Golden("openai-chat-mini", chat, "openai", used(123457, 7919), D(123457) * D("0.15") / M + D(7919) * D("0.6") / M),
    # fine-tuned gpt-4o-mini: 0.30 and 1.20
    Golden("openai-chat-fine-tuned", chat, "openai", used(3000, 250), D(3000) * D("0.3") / M + D(250) * D("1.2") / M),
    # o4-mini: 1.10 and 4.40; reasoning is output
    Golden("openai-chat-reasoning", chat, "openai", used(21, 420, reasoning=384),
           D(21) * D("1.1") / M + D(36) * D("4.4") / M + D(384) * D("4.4") / M),
    # o3: 10 and 40 until 10 June 2025, then 2 and 8
    Golden("openai-chat-o3", chat, "openai", used(777, 333, reasoning=256),
           D(777) * D(10) / M + D(333) * D(40) / M, at=BEFORE),
    Golden("openai-chat-o3", chat, "openai", used(777, 333, reasoning=256),
           D(777) * D(2) / M + D(333) * D(8) / M, at=AFTER),
    # o3 flex: 1, cached 0.25, 4
    Golden("openai-chat-flex", chat, "openai", used(5000, 1500, cache_read=1024, reasoning=1200),
           D(3976) * D(1) / M + D(1024) * D("0.25") / M + D(1500) * D(4) / M),
    # gpt-4o priority: 4.25, cached 2.125, 17; nobody recorded it before 12 October 2026
    Golden("openai-chat-priority", chat, "openai", used(10000, 500, cache_read=4096),
           D(5904) * D("4.25") / M + D(4096) * D("2.125") / M + D(500) * D(17) / M),
    Golden("openai-chat-priority", chat, "openai", used(10000, 500, cache_read=4096), "unpriced_model",
           at=datetime(2026, 10, 11, tzinfo=UTC)),
    # gpt-4o batch: 1.25 and 5
    Golden("openai-chat-batch", chat, "openai", used(9000, 700),
           D(9000) * D("1.25") / M + D(700) * D(5) / M, batch=True),
    # gpt-audio: text 2.50 and 10, audio 32 and 64
    Golden("openai-chat-audio", chat, "openai", used(1130, 640, audio_input=1100, audio_output=560),
           D(30) * D("2.5") / M + D(1100) * D(32) / M + D(80) * D(10) / M + D(560) * D(64) / M),
    # gpt-5.4: 2.50 and 15 up to 272,000 input tokens, above it 5 and 22.50 for every token
    Golden("openai-chat-length-272000", chat, "openai", used(272000, 1000),
           D(272000) * D("2.5") / M + D(1000) * D(15) / M),
    Golden("openai-chat-length-272001", chat, "openai", used(272001, 1000),
           D(272001) * D(5) / M + D(1000) * D("22.5") / M),
    # gpt-5: 1.25, cached 0.125, 10; batch 0.625 and 5
    Golden("openai-responses", responses, "openai", used(4321, 987, cache_read=4096, reasoning=640),
           D(225) * D("1.25") / M + D(4096) * D("0.125") / M + D(987) * D(10) / M),
    Golden("openai-responses-batch", responses, "openai", used(20000, 3000, reasoning=2048),
           D(20000) * D("0.625") / M + D(3000) * D(5) / M, batch=True),
    # embeddings: 0.02 and 0.13, no output
    Golden("openai-embeddings", chat, "openai", used(16), D(16) * D("0.02") / M, operation="embeddings"),
    Golden("openai-embeddings-large", chat, "openai", used(8191), D(8191) * D("0.13") / M, operation="embeddings"),
    # gpt-realtime: text 4 / cached 0.40 / out 16, audio 32 / cached 0.40 / out 64
    Golden("openai-realtime", realtime, "openai",
           used(1000, 350, cache_read=640, audio_input=700, audio_cache_read=512, audio_output=260),
           D(172) * D(4) / M + D(128) * D("0.4") / M + D(188) * D(32) / M + D(512) * D("0.4") / M
           + D(90) * D(16) / M + D(260) * D(64) / M, "gpt-realtime"),
    # gpt-4o-mini-transcribe: text 1.25, audio 3, output 5
    Golden("openai-transcription", transcription, "openai", used(1420, 181, audio_input=1400),
           D(20) * D("1.25") / M + D(1400) * D(3) / M + D(181) * D(5) / M, "gpt-4o-mini-transcribe"),
    # gpt-image-1.5: text 5 and 10, image 8 and 32
    Golden("openai-image", image, "openai", used(800, 4200, image_input=700, image_output=4160),
           D(100) * D(5) / M + D(700) * D(8) / M + D(40) * D(10) / M + D(4160) * D(32) / M, "gpt-image-1.5"),
    Golden("openai-chat-unknown-model", chat, "openai", used(14, 17), "unpriced_model"),
]

ANTHROPIC = [
    # claude-sonnet-4-5: 3, cache read 0.30, 5m write 3.75, 1h write 6, output 15
    Golden("anthropic-message", anthropic, "anthropic", used(14, 17), D(14) * D(3) / M + D(17) * D(15) / M),
    Golden("anthropic-cache-read-and-5m", anthropic, "anthropic", used(2048, 17, cache_read=1664, cache_write=256),
           D(128) * D(3) / M + D(1664) * D("0.3") / M + D(256) * D("3.75") / M + D(17) * D(15) / M),
    Golden("anthropic-cache-1h", anthropic, "anthropic", used(10050, 900, cache_write=10000, cache_write_1h=10000),
           D(50) * D(3) / M + D(10000) * D(6) / M + D(900) * D(15) / M),
    Golden("anthropic-stream", anthropic_stream, "anthropic", used(1404, 58, cache_read=1024),
           D(380) * D(3) / M + D(1024) * D("0.3") / M + D(58) * D(15) / M),
    # claude-haiku-4-5: 1, 0.10, 1.25, 2, 5
    Golden("anthropic-cache-5m-and-1h", anthropic, "anthropic",
           used(36022, 311, cache_read=30011, cache_write=6004, cache_write_1h=4001),
           D(7) * D(1) / M + D(30011) * D("0.1") / M + D(2003) * D("1.25") / M + D(4001) * D(2) / M
           + D(311) * D(5) / M),
    # above 200,000 input tokens, cached ones included, every token costs 6, 0.60, 22.50
    Golden("anthropic-length-199999", anthropic, "anthropic", used(199999, 100),
           D(199999) * D(3) / M + D(100) * D(15) / M),
    Golden("anthropic-length-200000", anthropic, "anthropic", used(200000, 100, cache_read=100000),
           D(100000) * D(3) / M + D(100000) * D("0.3") / M + D(100) * D(15) / M),
    Golden("anthropic-length-200001", anthropic, "anthropic", used(200001, 100, cache_read=100001),
           D(100000) * D(6) / M + D(100001) * D("0.6") / M + D(100) * D("22.5") / M),
    # claude-opus-4-8 batch: 2.50, 0.25, 3.125, 12.50
    Golden("anthropic-batch", anthropic, "anthropic", used(1750, 2000, cache_read=500, cache_write=250),
           D(1000) * D("2.5") / M + D(500) * D("0.25") / M + D(250) * D("3.125") / M + D(2000) * D("12.5") / M),
    # priority is committed capacity: there is no list price for it
    Golden("anthropic-priority", anthropic, "anthropic", used(1000, 100), "unpriced_model"),
    # claude-opus-5 in fast mode: 10 and 50
    Golden("anthropic-fast", anthropic, "anthropic", used(1000, 100), D(1000) * D(10) / M + D(100) * D(50) / M),
    # claude-opus-4-6: long prompts cost double until 13 March 2026
    Golden("anthropic-opus-4-6", anthropic, "anthropic", used(250000, 1000),
           D(250000) * D(10) / M + D(1000) * D("37.5") / M, at=datetime(2026, 3, 12, 23, tzinfo=UTC)),
    Golden("anthropic-opus-4-6", anthropic, "anthropic", used(250000, 1000),
           D(250000) * D(5) / M + D(1000) * D(25) / M, at=datetime(2026, 3, 13, tzinfo=UTC)),
]

GOOGLE = [
    # gemini-2.5-flash: text 0.30, cached 0.03, audio 1, cached audio 0.10, output 2.50
    Golden("gemini-text", gemini, "gcp.gemini", used(14, 17), D(14) * D("0.3") / M + D(17) * D("2.5") / M),
    Golden("gemini-thoughts", gemini, "gcp.gen_ai", used(21, 420, reasoning=384),
           D(21) * D("0.3") / M + D(420) * D("2.5") / M),
    Golden("gemini-cached", gemini, "GoogleGenAI", used(2048, 17, cache_read=1920),
           D(128) * D("0.3") / M + D(1920) * D("0.03") / M + D(17) * D("2.5") / M),
    Golden("gemini-audio", gemini, "gcp.vertex_ai", used(2060, 44, audio_input=2000),
           D(60) * D("0.3") / M + D(2000) * D(1) / M + D(44) * D("2.5") / M),
    Golden("gemini-audio-cached", gemini, "gemini",
           used(5000, 44, cache_read=3000, audio_input=3500, audio_cache_read=2500),
           D(1000) * D("0.3") / M + D(500) * D("0.03") / M + D(1000) * D(1) / M + D(2500) * D("0.1") / M
           + D(44) * D("2.5") / M),
    # gemini-2.5-flash-image: images 30
    Golden("gemini-image-output", gemini, "google", used(40, 1302, image_output=1290),
           D(40) * D("0.3") / M + D(12) * D("2.5") / M + D(1290) * D(30) / M),
    # gemini-2.5-pro: 1.25 and 10, above 200,000 input tokens 2.50 and 15
    Golden("gemini-length-200000", gemini, "gcp.gemini", used(200000, 2000, reasoning=1500),
           D(200000) * D("1.25") / M + D(2000) * D(10) / M),
    Golden("gemini-length-200001", gemini, "gcp.gemini", used(200001, 2000, reasoning=1500),
           D(200001) * D("2.5") / M + D(2000) * D(15) / M),
    Golden("gemini-tool-prompt", gemini, "gcp.gemini", used(1000, 140, reasoning=100),
           D(1000) * D("1.25") / M + D(140) * D(10) / M),
    # half of that in a batch
    Golden("gemini-batch", gemini, "gcp.gemini", used(1000, 1000, reasoning=600),
           D(1000) * D("0.625") / M + D(1000) * D(5) / M, batch=True),
    # gemini-4-argon: 2 and 10 until 1 December 2026, then 4 and 20
    Golden("gemini-stream", gemini_stream, "gcp.gemini", used(9, 200, reasoning=80),
           D(9) * D(2) / M + D(200) * D(10) / M),
    Golden("gemini-stream", gemini_stream, "gcp.gemini", used(9, 200, reasoning=80),
           D(9) * D(4) / M + D(200) * D(20) / M,
           at=datetime(2026, 12, 1, tzinfo=UTC)),
    Golden("gemini-embeddings", gemini, "gcp.gemini", used(7), D(7) * D("0.15") / M, "models/gemini-embedding-001",
           operation="embeddings"),
]

OTHERS = [
    # mistral-small-latest: 0.10 and 0.30 until it moved to Small 4 on 16 March 2026, then 0.15 and 0.60
    Golden("mistral-chat", chat, "mistral_ai", used(1400, 1700), D(1400) * D("0.15") / M + D(1700) * D("0.6") / M),
    Golden("mistral-chat", chat, "mistralai", used(1400, 1700), D(1400) * D("0.1") / M + D(1700) * D("0.3") / M,
           at=datetime(2026, 3, 15, tzinfo=UTC)),
    Golden("mistral-embeddings", chat, "mistral_ai", used(512), D(512) * D("0.1") / M, operation="embeddings"),
    # command-a: 2.50 and 10, of what is billed; embed-v4.0: 0.12
    Golden("cohere-chat", cohere, "Cohere", used(6, 17), D(6) * D("2.5") / M + D(17) * D(10) / M, "command-a-03-2025"),
    Golden("cohere-embed", cohere, "cohere", used(11), D(11) * D("0.12") / M, "embed-v4.0", operation="embeddings"),
    # llama-3.3-70b-versatile on Groq: 0.59 and 0.79
    Golden("groq-chat", chat, "groq", used(4321, 1234), D(4321) * D("0.59") / M + D(1234) * D("0.79") / M),
    Golden("groq-stream", chat_stream, "groq", used(14, 17), D(14) * D("0.59") / M + D(17) * D("0.79") / M),
    # Claude Sonnet 4.5 on Bedrock: 10 % above Anthropic's price in a region, the same through the global profile
    Golden("bedrock-converse", converse, "aws.bedrock", used(1000, 200),
           D(1000) * D("3.3") / M + D(200) * D("16.5") / M, BEDROCK_US),
    Golden("bedrock-converse", converse, "aws.bedrock", used(1000, 200),
           D(1000) * D(3) / M + D(200) * D(15) / M, BEDROCK_GLOBAL),
    Golden("bedrock-converse-cached", converse, "aws.bedrock", used(2048, 17, cache_read=1664, cache_write=256),
           D(128) * D("3.3") / M + D(1664) * D("0.33") / M + D(256) * D("4.125") / M + D(17) * D("16.5") / M,
           BEDROCK_US),
    Golden("bedrock-converse-nova", converse, "aws.bedrock", used(4000, 333, cache_read=1500),
           D(2500) * D("0.8") / M + D(1500) * D("0.2") / M + D(333) * D("3.2") / M,
           "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0"),
    # deepseek-chat: 0.27 / 0.07 / 1.10 by day, 0.135 / 0.035 / 0.55 from 16:30 to 00:30 UTC
    Golden("deepseek-chat", chat, "deepseek", used(3000, 900, cache_read=2048),
           D(952) * D("0.27") / M + D(2048) * D("0.07") / M + D(900) * D("1.1") / M),
    Golden("deepseek-chat", chat, "deepseek", used(3000, 900, cache_read=2048),
           D(952) * D("0.135") / M + D(2048) * D("0.035") / M + D(900) * D("0.55") / M,
           at=datetime(2026, 11, 23, 16, 30, tzinfo=UTC)),
    # grok-4: 3, cached 0.75, 15
    Golden("xai-chat", xai, "x_ai", used(32, 119, cache_read=6, reasoning=110),
           D(26) * D(3) / M + D(6) * D("0.75") / M + D(119) * D(15) / M),
    # grok-4.3: xAI's long-context price begins at 200,000 tokens, not above them: 2.50 and 5
    Golden("xai-length-200000", xai, "xai", used(200000, 1000, reasoning=600),
           D(200000) * D("2.5") / M + D(1000) * D(5) / M),
    # sonar-pro: 3 and 15, and 14 per thousand requests
    Golden("perplexity-chat", chat, "perplexity", used(90, 410),
           D(90) * D(3) / M + D(410) * D(15) / M + D(14) / D(1000)),
    # free by name; local: nobody but its owner knows
    Golden("openrouter-free", chat, "openrouter", used(300, 30), D(0)),
    Golden("ollama-chat", ollama, "ollama", used(14, 17), "unpriced_model"),
]
# fmt: on

GOLDEN = [*OPENAI, *ANTHROPIC, *GOOGLE, *OTHERS]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case.payload}-{GOLDEN.index(case)}")
def test_golden_cost(case: Golden) -> None:
    usage, model, tier = case.reader(PAYLOADS[case.payload])
    assert {name: count for name in usage.__slots__ if (count := getattr(usage, name))} == case.used
    start_ns = int(case.at.timestamp()) * 10**9
    facts = CallFacts(
        owner="",
        trace_id="0" * 32,
        span_id="0" * 16,
        parent_span_id=None,
        start_ns=start_ns,
        end_ns=start_ns + 10**9,
        provider=case.provider,
        operation=case.operation,
        request_model=case.request_model,
        response_model=model,
        usage=usage,
        usage_source="provider",
        service_tier=tier,
        batch=case.batch,
    )
    priced = BOOK.price(Call(facts=facts, own=facts, billable=True, billing_reason=""))
    if isinstance(case.expected, str):
        assert (priced.cost_usd, priced.cost_status) == (None, case.expected)
    else:
        assert priced.cost_status == "priced"
        assert priced.cost_usd == case.expected.quantize(D("1e-9"), ROUND_HALF_EVEN)


def test_every_payload_is_used() -> None:
    assert {case.payload for case in GOLDEN} == PAYLOADS.keys()
    assert len(PAYLOADS) >= 48
