"""The content policy at ingest: what becomes of prompt and completion text before it is stored."""

from dataclasses import replace
from typing import Literal

from spanledger._pii import mask
from spanledger_analytics.records import Content

Policy = Literal["none", "masked", "full"]


def keep_content(policy: Policy, content: Content) -> Content | None:
    """Return the text as it may be stored, or ``None`` where it may not.

    Personal data is masked by the recognisers that applications use, so both ends hide the same things.
    """
    if policy == "none":
        return None
    return content if policy == "full" else replace(content, text=mask(content.text))
