"""Signatures of Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec."""

from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook


def signed_headers(id_: str, time_ns: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of a message: its id, when it is sent, and a signature with each secret.

    Args:
        id_: the same in every attempt.
        time_ns: now.
        body: exactly the bytes that are sent, UTF-8.
        secrets: ``whsec_...``; two of them while one takes the place of the other.
    """
    time = datetime.fromtimestamp(time_ns // 10**9, UTC)
    headers = {"webhook-id": id_, "webhook-timestamp": str(time_ns // 10**9)}
    if secrets:
        text = body.decode()
        headers["webhook-signature"] = " ".join(Webhook(secret).sign(id_, time, text) for secret in secrets)
    return headers
