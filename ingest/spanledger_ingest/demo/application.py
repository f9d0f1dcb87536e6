"""A small LLM application, written as you might write yours. The demo runs it; so can you, against any provider.

Spanledger appears in two places: the import, which turns every call below into a span that says what it cost and how it
ended, and `spanledger.context(...)`, which says for whom the call was made. Addresses and keys come from the variables
that the SDKs themselves read (OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_BASE_URL, ...) and from SPANLEDGER_ENDPOINT.
"""

import asyncio
from typing import Any

import anthropic
import openai

import spanledger.auto

HANDBOOK = "Be kind, be brief, and never promise a date. " * 150
WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


def user(text: str) -> Any:
    """Return a message of the user, as both SDKs take it."""
    return {"role": "user", "content": text}


def bakery(gpt: openai.OpenAI) -> None:
    """Ask plainly, ask for a stream, and let the model call a tool."""
    with spanledger.context(tenant="bakery", user="u-ada", session="s-1", use_case="support", prompt="greeting@v3"):
        gpt.chat.completions.create(model="gpt-4o-mini", messages=[user("When do you open?")])
        for _chunk in gpt.chat.completions.create(model="gpt-4o", messages=[user("Any rye bread?")], stream=True):
            pass
        talk: list[Any] = [user("Will it rain on my picnic in Paris?")]
        asked = gpt.chat.completions.create(model="gpt-4o", messages=talk, tools=[WEATHER]).choices[0].message
        talk.append(asked)
        talk += ({"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in asked.tool_calls or ())
        gpt.chat.completions.create(model="gpt-4o", messages=talk, tools=[WEATHER])


def bookshop(claude: anthropic.Anthropic) -> None:
    """Use a long system prompt twice: written to the provider's cache, then read from it in a streamed call."""
    handbook: Any = [{"type": "text", "text": HANDBOOK, "cache_control": {"type": "ephemeral"}}]
    question = user("Where is order 1017?")
    with spanledger.context(tenant="bookshop", user="u-ben", session="s-2", use_case="orders", prompt="handbook@v1"):
        claude.messages.create(model="claude-haiku-4-5", max_tokens=200, system=handbook, messages=[question])
        with claude.messages.stream(
            model="claude-haiku-4-5", max_tokens=200, system=handbook, messages=[question]
        ) as stream:
            stream.until_done()


async def florist() -> None:
    """Call both providers at the same time."""
    async with openai.AsyncOpenAI() as gpt, anthropic.AsyncAnthropic() as claude:
        with spanledger.context(tenant="florist", user="u-cleo", use_case="catalogue", region="eu-central-1"):
            await asyncio.gather(
                gpt.embeddings.create(model="text-embedding-3-small", input=["red roses", "white lilies"]),
                gpt.responses.create(model="gpt-4o-mini", input="Describe a bunch of red roses."),
                claude.messages.create(model="claude-haiku-4-5", max_tokens=200, messages=[user("Name a flower.")]),
            )


def garage(gpt: openai.OpenAI) -> None:
    """Everything that goes wrong: a busy provider, an unknown model, a reader who leaves."""
    question = [user("What do new brakes cost?")]
    # The fake provider does what this header says: refuse once (the SDK then tries again), refuse always, or be slow.
    refuse_once, refuse, be_slow = ({"x-fake-script": do} for do in ("status=429 times=1", "status=429", "chunk_ms=50"))
    with spanledger.context(tenant="garage", user="u-dan", use_case="estimates"):
        gpt.chat.completions.create(model="gpt-4o-mini", messages=question, extra_headers=refuse_once)
        try:
            gpt.chat.completions.create(model="gpt-4o-mini", messages=question, extra_headers=refuse)
        except openai.RateLimitError:
            gpt.chat.completions.create(model="in-house-model-9", messages=question)
        with gpt.chat.completions.create(
            model="gpt-4o", messages=question, extra_headers=be_slow, stream=True
        ) as stream:
            next(iter(stream))


if __name__ == "__main__":
    with openai.OpenAI() as gpt_client, anthropic.Anthropic() as claude_client:
        bakery(gpt_client)
        bookshop(claude_client)
        asyncio.run(florist())
        garage(gpt_client)
    spanledger.shutdown()
