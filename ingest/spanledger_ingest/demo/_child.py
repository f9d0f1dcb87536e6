"""Runs the demo's applications as what they are: other processes, which know nothing of the service but its address."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spanledger_ingest.demo._errors import DemoError
from spanledger_ingest.demo.fake_provider import FakeProvider

_TIMEOUT_S = 45


@dataclass(frozen=True, slots=True)
class Application:
    """One of the scripts beside this module."""

    script: str
    service: str
    capture: str = "none"
    """What of prompts and answers it lets out."""
    budgets: str = "off"
    """Whether it asks before it calls."""


SHOPS: Final = Application("application.py", "corner-shops")
HELPDESK: Final = Application("helpdesk.py", "helpdesk", capture="full")
KIOSK: Final = Application("kiosk.py", "kiosk")
WORKSHOP: Final = Application("workshop.py", "workshop", budgets="enforce")
APPLICATIONS: Final = (SHOPS, HELPDESK, KIOSK, WORKSHOP)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What applications find around them.

    Attributes:
        endpoint: Address of the service.
        provider: Stands in for both providers.
        spool: Where applications keep spans while the service is away.
    """

    endpoint: str
    provider: FakeProvider
    spool: Path

    def run(self, application: Application) -> None:
        """Run an application to its end.

        Raises:
            DemoError: If it fails; the message ends with what it said.
        """
        with self.running(application):
            pass

    @contextmanager
    def running(self, application: Application) -> Iterator[None]:
        """Let an application run meanwhile, then close its standard input and wait for its end.

        Raises:
            DemoError: If it fails; the message ends with what it said.
        """
        child = subprocess.Popen(  # noqa: S603 - our own scripts
            [sys.executable, "-P", str(Path(__file__).with_name(application.script))],
            env=self._environment(application),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield
            _, said = child.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise DemoError(f"the application {application.service} did not end within {_TIMEOUT_S} s") from error
        finally:
            child.kill()
            child.communicate()
        if child.returncode != 0:
            raise DemoError(f"the application {application.service} failed:\n{said[-2000:]}")

    def _environment(self, application: Application) -> dict[str, str]:
        """Return an environment with what is written here and nothing else.

        So proxies, keys and OTEL_* settings of the user neither reach the demo nor are reached by it.
        """
        return {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "SPANLEDGER_ENDPOINT": self.endpoint,
            "SPANLEDGER_SPOOL_DIR": str(self.spool),
            "SPANLEDGER_CAPTURE_CONTENT": application.capture,
            "SPANLEDGER_BUDGETS": application.budgets,
            "SPANLEDGER_BUDGETS_ON_ERROR": "block",
            "SPANLEDGER_BUDGETS_TIMEOUT": "10",
            "OTEL_SERVICE_NAME": application.service,
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=demo",
            "OPENAI_BASE_URL": self.provider.openai_url,
            "OPENAI_API_KEY": "not-a-secret",
            "ANTHROPIC_BASE_URL": self.provider.anthropic_url,
            "ANTHROPIC_API_KEY": "not-a-secret",
        }
