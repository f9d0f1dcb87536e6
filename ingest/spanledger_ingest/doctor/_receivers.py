"""The receivers of alerts: whether they can be connected to. Nothing is sent."""

from collections.abc import Iterator

from spanledger_alerts.delivery import Receiver, check_url, connect
from spanledger_alerts.errors import AddressRefusedError
from spanledger_ingest.delivery import receivers_of
from spanledger_ingest.doctor._finding import Finding, fail, ok, warn
from spanledger_ingest.settings import Settings, SettingsError


def findings(settings: Settings) -> Iterator[Finding]:
    """Connect to each receiver, with TLS where it has it, under the rules that hold for messages."""
    try:
        receivers = receivers_of(settings.receivers)
    except SettingsError as error:
        yield fail("receivers", str(error), "correct it: the service does not start with it")
        return
    for receiver in receivers.values():
        yield _reach(receiver)


def _reach(receiver: Receiver) -> Finding:
    if receiver.shape == "apprise":
        return ok("receivers", f"{receiver.name} is Apprise's matter")
    try:
        connect(check_url(receiver.url, receiver.policy), receiver.policy).close()
    except AddressRefusedError as error:
        return fail("receivers", f"{receiver.name}: {error}", "add its network to allow, if it is meant to be inside")
    except OSError as error:
        mend = "messages wait up to 72 hours; look at its address, name server, firewall and certificate"
        return warn("receivers", f"{receiver.name} cannot be reached ({type(error).__name__})", mend)
    return ok("receivers", f"{receiver.name} can be reached")
