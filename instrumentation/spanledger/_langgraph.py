"""Agent graphs of langgraph, for the official langchain instrumentor."""

import sys

from spanledger._guard import shielded
from spanledger._libraries import PROXY


def wrap_agents() -> None:
    """Let the official instrumentor wrap ``Pregel.stream`` if it could not, being too early for langgraph."""
    package = sys.modules.get("opentelemetry.instrumentation.genai.langchain")
    graphs = sys.modules["langgraph.pregel"]
    with shielded("instrumenting langgraph"):
        if package is not None and not isinstance(vars(graphs.Pregel).get("stream"), PROXY):
            package.LangChainInstrumentor._instrument_agent_entry_points()  # noqa: SLF001  # no public way
