"""What goes over the wire: real servers on loopback."""

import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from spanledger_alerts.delivery import AppriseNotifier, Deliverer, Message, WebhookNotifier
from spanledger_alerts.delivery.shapes import MAX_BYTES
from spanledger_alerts.errors import AddressRefusedError, ReceiverError

if TYPE_CHECKING:
    from tests.unit.alerts.delivery.conftest import Hook, Tools

OLD = "whsec_" + "b2xkLXNlY3JldC1vbGQtc2VjcmV0LW9sZC1zZWNyZXQ="
NEW = "whsec_" + "bmV3LXNlY3JldC1uZXctc2VjcmV0LW5ldy1zZWNyZXQ="


def message(tools: "Tools", id_: str = "msg-1", **changed: Any) -> Message:
    outbox = tools.outbox()
    outbox.enqueue(tools.notification(id_, **changed))
    return outbox.due("ops", 1)[0]


def notifier(tools: "Tools", hook: "Hook", **changed: Any) -> WebhookNotifier:
    return WebhookNotifier(tools.at(hook, **changed), clock=time.time_ns)


def test_a5_a_receiver_with_the_old_or_the_new_secret_verifies_while_both_are_set(tools: "Tools", hook: "Hook") -> None:
    """A5: against the reference library."""
    assert notifier(tools, hook, secrets=(NEW, OLD)).notify(message(tools)).ok
    [request] = hook.requests
    for secret in (OLD, NEW):
        body = Webhook(secret).verify(request.body, request.headers)
        assert body["type"] == "alert.firing"
    other = "whsec_" + "b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldC1vdGhlcg=="
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(request.body + b" ", request.headers)


def test_every_attempt_has_the_same_id_and_body_and_a_time_of_its_own(tools: "Tools", hook: "Hook") -> None:
    times = iter([1_790_000_000 * 10**9, 1_790_000_777 * 10**9])
    sender = WebhookNotifier(tools.at(hook), clock=lambda: next(times))
    waiting = message(tools)
    sender.notify(waiting)
    sender.notify(waiting)
    first, second = hook.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "msg-1"
    assert first.body == second.body
    stamps = [request.headers["webhook-timestamp"] for request in (first, second)]
    assert stamps == ["1790000000", "1790000777"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_headers_and_path_arrive_as_configured(tools: "Tools", hook: "Hook") -> None:
    sender = notifier(tools, hook, url=hook.url + "?token=t", headers={"Authorization": "Bearer b"})
    sender.notify(message(tools))
    [request] = hook.requests
    assert request.path == "/hook?token=t"
    assert request.headers["authorization"] == "Bearer b"
    assert request.headers["host"] == f"127.0.0.1:{hook.port}"
    assert request.headers["content-type"] == "application/json"


def test_a_redirect_is_not_followed(tools: "Tools", hook: "Hook", other_hook: "Hook") -> None:
    hook.status, hook.headers = 307, {"Location": other_hook.url}
    attempt = notifier(tools, hook).notify(message(tools))
    assert (attempt.outcome, attempt.http_status) == ("refused", 307)
    assert other_hook.requests == []


def test_proxies_of_the_environment_are_not_used(
    tools: "Tools", hook: "Hook", other_hook: "Hook", monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, other_hook.url)
    assert notifier(tools, hook).notify(message(tools)).ok
    assert other_hook.requests == []


def test_what_the_other_side_writes_is_not_kept(tools: "Tools", hook: "Hook") -> None:
    hook.status, hook.body = 400, b"internal secret " * 100_000
    attempt = notifier(tools, hook).notify(message(tools))
    assert attempt.outcome == "refused"
    assert "secret" not in attempt.detail


def test_an_endless_answer_is_cut_off(tools: "Tools") -> None:
    """64 KiB are read, then the connection is closed."""
    sent = 0

    def serve(listener: socket.socket) -> None:
        nonlocal sent
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
            try:
                while True:
                    sent += connection.send(b"x" * 65_536)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        attempt = _at_port(tools, listener.getsockname()[1]).notify(message(tools))
        thread.join()
    assert attempt.ok
    assert sent < 16 * 2**20  # what the buffers of two sockets hold, not the terabyte


def _at_port(tools: "Tools", port: int, **changed: Any) -> WebhookNotifier:
    from spanledger_alerts.delivery import parse_policy

    policy = parse_policy(allow=["127.0.0.1"], ports=[port], allow_http=True)
    receiver = tools.receiver(url=f"http://127.0.0.1:{port}/", policy=policy)
    return WebhookNotifier(receiver, clock=time.time_ns, **changed)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "])
def test_who_does_not_answer_in_time_is_tried_again(tools: "Tools", answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections = []

        def serve() -> None:
            connection, _ = listener.accept()
            connections.append(connection)
            connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        attempt = _at_port(tools, listener.getsockname()[1], total=0.3).notify(message(tools))
        thread.join()
        connections[0].close()
    assert (attempt.outcome, attempt.detail) == ("retry", "no answer in time")


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00" * 100, b"HTTP/1.1 abc OK\r\n\r\n"])
def test_an_answer_that_is_not_http_is_tried_again(tools: "Tools", answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        attempt = _at_port(tools, listener.getsockname()[1]).notify(message(tools))
        thread.join()
    assert attempt.outcome == "retry"


def test_nobody_there_is_tried_again_and_an_address_inside_is_not_sent_to(tools: "Tools", hook: "Hook") -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert _at_port(tools, port).notify(message(tools)).detail == "the connection is refused"
    inside = WebhookNotifier(tools.receiver(url="https://localhost/"))
    attempt = inside.notify(message(tools))
    assert attempt.outcome == "retry"
    assert attempt.detail.startswith("not sent: the host is no public address")
    assert hook.requests == []


def test_a_hanging_request_can_be_ended_from_outside(tools: "Tools", hook: "Hook") -> None:
    arrived, release = threading.Event(), threading.Event()

    def hang() -> None:
        arrived.set()
        release.wait(30)

    hook.before = hang
    sender = notifier(tools, hook)
    waiting = message(tools)
    attempts = []
    thread = threading.Thread(target=lambda: attempts.append(sender.notify(waiting)))
    thread.start()
    assert arrived.wait(10)
    sender.abort()
    thread.join(10)
    release.set()
    assert attempts[0].outcome == "retry"


def test_a_deliverer_on_threads_delivers_and_stops(tools: "Tools", hook: "Hook") -> None:
    outbox = tools.outbox(tools.at(hook))
    deliverer = Deliverer(outbox, {"ops": notifier(tools, hook)}, clock=tools.clock)
    deliverer.start()
    arrived = threading.Event()
    hook.before = lambda: arrived.set() if len(hook.requests) == 20 else None
    for number in range(20):
        outbox.enqueue(tools.notification(f"m{number}", group=f"g{number % 5}"))
    assert arrived.wait(30)
    deliverer.stop()
    assert {found.state for found in outbox.messages()} == {"delivered"}
    for group in range(5):
        ids = [request.headers["webhook-id"] for request in hook.requests]
        of_group = [int(id_[1:]) for id_ in ids if int(id_[1:]) % 5 == group]
        assert of_group == sorted(of_group)


def test_a8_one_endpoint_that_hangs_does_not_delay_the_others(tools: "Tools", hook: "Hook", other_hook: "Hook") -> None:
    """A8: everything for the others arrives while every attempt at the hanging one is still under way."""
    release, done = threading.Event(), threading.Event()

    def hang() -> None:
        release.wait(60)

    hook.before = hang
    other_hook.before = lambda: done.set() if len(other_hook.requests) == 200 else None
    hanging, good = tools.at(hook, "hanging"), tools.at(other_hook, "good")
    outbox = tools.outbox(hanging, good)
    with tools.database.transaction():
        for number in range(9_800):
            outbox.enqueue(tools.notification(f"h{number}", receiver="hanging", group=f"g{number}"))
        for number in range(200):
            outbox.enqueue(tools.notification(f"o{number}", receiver="good", group=f"g{number}"))
    senders = {one.name: WebhookNotifier(one, clock=time.time_ns) for one in (hanging, good)}
    deliverer = Deliverer(outbox, senders, clock=tools.clock)
    deliverer.start()
    assert done.wait(60)
    assert not release.is_set()
    release.set()
    deliverer.stop()
    assert len({request.headers["webhook-id"] for request in other_hook.requests}) == 200


def test_bodies_are_at_most_20_kib(tools: "Tools", hook: "Hook") -> None:
    huge = tools.alert(summary="\u20ac" * 100_000, labels={f"label{n}" * 9: "\x01" * 9_000 for n in range(900)})
    assert notifier(tools, hook).notify(message(tools, "huge", alerts=(huge,))).ok
    assert len(hook.requests[0].body) <= MAX_BYTES


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"url": "http://x.example/"}, AddressRefusedError, "https"),
        ({"url": "https://x.example:22/"}, AddressRefusedError, "port 22"),
        ({"secrets": ()}, ReceiverError, "openssl rand"),
        ({"secrets": ("whsec_c2hvcnQ=",)}, ReceiverError, "24 to 64 bytes"),
        ({"secrets": ("hunter2hunter2hunter2hunter2hunter2",)}, ReceiverError, "whsec_"),
        ({"shape": "opsgenie"}, ReceiverError, "not one of native"),
        ({"shape": "pagerduty"}, ReceiverError, "routing_key"),
        ({"headers": {"X": "a\r\nInjected: 1"}}, ReceiverError, "'X'"),
        ({"headers": {"webhook-id": "1"}}, ReceiverError, "cannot be set"),
        ({"headers": {"Host": "inside"}}, ReceiverError, "cannot be set"),
    ],
)
def test_a_receiver_that_cannot_be_meant_is_refused_with_advice(
    tools: "Tools", changed: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        tools.receiver(**changed)
    assert "hunter2" not in str(caught.value)


def test_a_receiver_does_not_show_its_secrets(tools: "Tools") -> None:
    receiver = tools.receiver(url="https://x.example/t0ken", secrets=(NEW,), headers={"Authorization": "b3arer"})
    for secret in ("t0ken", NEW, "b3arer"):
        assert secret not in repr(receiver)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # its own affair
def test_apprise_delivers_what_has_no_shape_of_ours(tools: "Tools", hook: "Hook") -> None:
    receiver = tools.receiver(shape="apprise", url=f"json://127.0.0.1:{hook.port}/", secrets=())
    hook.status = 200
    assert AppriseNotifier(receiver).notify(message(tools)).ok
    assert b"12.0 % of calls fail" in hook.requests[0].body
    hook.status = 500
    assert AppriseNotifier(receiver).notify(message(tools)).outcome == "retry"


def test_apprise_is_asked_for_where_it_is_missing(tools: "Tools", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ReceiverError, match=r"spanledger\[notify\]"):
        AppriseNotifier(tools.receiver(shape="apprise", url="json://x", secrets=()))
