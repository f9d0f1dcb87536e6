"""An application that keeps asking until its standard input is closed, whatever becomes of the provider meanwhile."""

import sys
import threading
from typing import Any

import openai

import spanledger.auto

PAUSE_S = 0.04
QUESTION: Any = [{"role": "user", "content": "A joke about coffee, please."}]


def ask(gpt: openai.OpenAI, closed: threading.Event) -> None:
    """Ask again and again."""
    while not closed.wait(PAUSE_S):
        try:
            gpt.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
        except openai.InternalServerError:
            closed.wait(2 * PAUSE_S)  # the guest is told to come back, and does


def watch(closed: threading.Event) -> None:
    """Wait until nobody can write to standard input any more."""
    sys.stdin.read()
    closed.set()


if __name__ == "__main__":
    over = threading.Event()
    threading.Thread(target=watch, args=(over,), daemon=True).start()
    with openai.OpenAI(max_retries=0) as client, spanledger.context(tenant="kiosk", use_case="jokes"):
        ask(client, over)
    spanledger.shutdown()
