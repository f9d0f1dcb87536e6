"""``import spanledger.auto``: instrument every LLM library of this process, with settings from the environment.

Libraries may be imported before or after. Nothing is imported that the application does not import itself, nothing
raises, and ``SPANLEDGER_DISABLED=1`` turns the import into nothing.
"""

from spanledger._guard import shielded
from spanledger._runtime import runtime

with shielded("import spanledger.auto"):
    runtime.configure({})
    if not runtime.settings.disabled:
        from spanledger._attach import attachments

        attachments.attach()
