"""Asks a chat completion of any endpoint that speaks OpenAI's API, through the guard of what others configure."""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from spanledger_alerts.delivery import Policy, Target, ask
from spanledger_alerts.errors import AddressRefusedError
from spanledger_ingest.errors import IngestError
from spanledger_ingest.secret import Secret

_OWN_LIMIT: Final = frozenset({"openai", "azure.ai.openai"})
"""Who calls the limit of the answer ``max_completion_tokens``."""


class JudgeError(IngestError):
    """The judge did not answer.

    Args:
        kind: why, in a word.
        free: whether it is certain that the call costs nothing.
    """

    def __init__(self, kind: str, *, free: bool = False) -> None:
        super().__init__(f"the judge did not answer: {kind}")
        self.kind = kind
        self.free = free


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back."""

    text: str = field(repr=False)
    model: str
    response_id: str
    finish_reason: str
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the judge is and how it is asked."""

    target: Target
    policy: Policy
    provider: str
    model: str
    key: Secret | None
    max_output: int
    timeout: float

    def ask(self, messages: Sequence[Mapping[str, str]]) -> Reply:
        """Return the reply.

        Raises:
            JudgeError: there is none.
        """
        limit = "max_completion_tokens" if self.provider in _OWN_LIMIT else "max_tokens"
        body = {"model": self.model, "messages": messages, limit: self.max_output, "n": 1}
        body["response_format"] = {"type": "json_object"}
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "spanledger"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key.reveal()}"
        try:
            answer = ask(self.target, self.policy, body=json.dumps(body).encode(), headers=headers, total=self.timeout)
        except AddressRefusedError:
            raise JudgeError("address_refused", free=True) from None
        except TimeoutError:
            raise JudgeError("timeout") from None
        except (ConnectionRefusedError, socket.gaierror):
            raise JudgeError("unreachable", free=True) from None
        except OSError:
            raise JudgeError("broken") from None
        if answer.status != HTTPStatus.OK:
            raise JudgeError(str(answer.status), free=True)
        return _reply(answer.body, self.model)


def _reply(body: bytes, asked: str) -> Reply:
    try:
        found: Any = json.loads(body)
        choice = found["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, RecursionError, LookupError, TypeError):
        raise JudgeError("bad_answer") from None
    usage = found.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Reply(
        text=text if isinstance(text, str) else "",
        model=_text(found.get("model")) or asked,
        response_id=_text(found.get("id")),
        finish_reason=_text(choice.get("finish_reason")) or "stop",
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
    )


def _text(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None
