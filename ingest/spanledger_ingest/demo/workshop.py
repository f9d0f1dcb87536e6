"""An application that obeys budgets: it is stopped before a call that its budget has no room for, not after it.

The demo runs it with SPANLEDGER_BUDGETS=enforce. Left alone it would go on for ever.
"""

from typing import Any

import anthropic

import spanledger
import spanledger.auto

QUESTION: Any = [{"role": "user", "content": "Another name for a chair, please."}]


def think(claude: anthropic.Anthropic) -> None:
    """Ask until there is no money left."""
    while True:
        try:
            claude.messages.create(model="claude-sonnet-4-6", max_tokens=200, messages=QUESTION)
        except spanledger.BudgetExceeded:
            return


if __name__ == "__main__":
    with anthropic.Anthropic() as client, spanledger.context(tenant="workshop", use_case="names"):
        think(client)
    spanledger.shutdown()
