"""An application that asks before each call, for ``test_admission.py``: a process of its own that imports little."""

import http.client
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def main(url: str, seed: str, spent: str, asks: str) -> None:
    """Make calls; what one costs is written down before anything else, as a provider would."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    with Path(spent).open("a", encoding="ascii") as bill:
        for _ in range(int(asks)):
            body = {"model": "gpt-4o", "provider": "openai", "input_tokens": chance.randrange(1, 2000)}
            answer = post(connection, "/admit", {**body, "max_tokens": chance.randrange(1, 1500)})
            if answer.get("reservation") is None:
                continue
            cost = float(answer["reserved_usd"]) * chance.random()
            bill.write(f"{cost:.9f}\n")
            bill.flush()
            if chance.random() < 0.02:
                os.kill(os.getpid(), signal.SIGKILL)
            item = {"reservation": answer["reservation"], "cost_usd": f"{cost:.9f}"}
            post(connection, "/settle", {"items": [item]})


def post(connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of the service."""
    connection.request("POST", "/api/v1/budgets" + path, json.dumps(body), {"content-type": "application/json"})
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:5])
