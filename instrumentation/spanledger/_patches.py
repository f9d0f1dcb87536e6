"""What Spanledger itself does around an SDK, besides attaching its instrumentor."""

from spanledger._runtime import runtime
from spanledger.settings import default_environment


def before(library: str, *, instrumented: bool) -> None:
    """Prepare an SDK before its instrumentor wraps it."""
    if runtime.settings.capture_content != "none":
        default_environment({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"})
    if library == "anthropic":
        # Its own trace headers (and baggage) would tell the vendor our ids; its own spans would bill each call twice.
        default_environment({"ANTHROPIC_OPEN_TELEMETRY_PROPAGATION": "false"})
        if instrumented:
            default_environment({"ANTHROPIC_OPEN_TELEMETRY": "false"})


def after(library: str) -> None:
    """Complete an SDK after its instrumentor has wrapped it."""
