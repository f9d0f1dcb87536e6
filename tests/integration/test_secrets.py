"""Secrets are found nowhere: not in logs, answers, metrics, errors, representations, nor in the service's files."""

import base64
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import jwt
import pytest

from spanledger_ingest.auth import KeyRing, StateDb
from spanledger_ingest.cli import main
from spanledger_ingest.service import build_service
from spanledger_ingest.settings import AuthConfig, ServerConfig, Settings, StoreConfig

PATHS = ("/api/v1/calls", "/api/v1/nowhere", "/api/v1/query?sql=SELECT+oops", "/metrics", "/docs")
SHARED = "canary-shared-key-0123456789-abcdefghij"


def forms(secret: str) -> Iterator[bytes]:
    """Yield the spellings in which a secret could have been written down."""
    raw = secret.encode()
    yield raw
    yield json.dumps(secret).strip('"').encode()
    yield quote(secret, safe="").encode()
    yield raw.hex().encode()
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + raw)
        yield whole[4 if offset else 0 : len(whole) // 4 * 4 - 4]


def leaks(secrets: list[str], place: str, content: bytes) -> list[str]:
    return [place for secret in secrets for form in forms(secret) if form in content]


def ask(url: str, authorization: str, body: bytes | None = None) -> bytes:
    headers = {"authorization": authorization, "content-type": "application/x-protobuf"}
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - our own address
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
            return bytes(answer.read()) + str(answer.headers).encode()
    except urllib.error.HTTPError as error:
        with error:
            return error.read() + str(error.headers).encode()


def test_the_search_finds_what_was_planted() -> None:
    secret = "sl_planted_0123456789"
    for planted in forms(secret):
        assert leaks([secret], "here", b"before " + planted + b" after") != []
    assert leaks([secret], "here", base64.b64encode(b"xx" + secret.encode() + b"yy")) != []


def test_no_secret_is_written_or_answered_anywhere(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CANARY_KEY", SHARED)
    data = tmp_path / "data"
    with closing(StateDb(data)) as state:
        ring = KeyRing(state)
        made = [ring.create(["*"], role, actor="test") for role in ("ingest", "admin")]
        dead = ring.create(["acme"], "engineer", expires=1, actor="test")
        assert leaks([secret.reveal() for _, secret in made], "repr", repr([ring, made, state]).encode()) == []
    keys = [secret.reveal() for _, secret in (*made, dead)]
    now = int(time.time())
    claims = {"iss": "https://id.example", "aud": "x", "iat": now, "exp": now + 60, "tenant": "acme", "role": "admin"}
    token = jwt.encode(claims, SHARED, "HS256")
    settings = Settings(
        server=ServerConfig(port=0, grpc_port=0),
        store=StoreConfig(data=data, threads=1),
        auth=AuthConfig(issuer=[{"issuer": "https://id.example", "audience": "x", "key": "env:CANARY_KEY"}]),
    )
    secrets = [*keys, *(key.split("_")[2] for key in keys), SHARED, token, token.split(".")[2]]
    answers = []
    with caplog.at_level(logging.DEBUG):
        service = build_service(settings)
        service.start()
        for credential in (*keys, token, token + "x", keys[0] + "x", keys[0][:-1], "Basic " + keys[0]):
            sent = f"Bearer {credential}"
            answers += [ask(service.http_url + path, sent) for path in PATHS]
            answers += [ask(service.http_url + "/v1/traces", sent, body) for body in (b"", b"\xff\xff\xff", b"{")]
        service._authenticator.flush()
        assert leaks(secrets, "repr", repr([vars(service), settings, vars(service._authenticator)]).encode()) == []
        service.stop()
    found = [place for answer in answers for place in leaks(secrets, "answer", answer)]
    found += leaks(secrets, "log", caplog.text.encode())
    captured = capfd.readouterr()
    found += leaks(secrets, "output", (captured.out + captured.err).encode())
    for file in data.rglob("*"):
        if file.is_file():
            found += leaks(secrets, str(file), file.read_bytes())
    assert found == []


def test_a_key_is_shown_once_and_only_when_it_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(tmp_path / "data")
    assert main(["keys", "create", "--tenant", "acme", "--role", "engineer", "--data", data]) == 0
    out, err = capsys.readouterr()
    key = out.strip()
    assert key.startswith("sl_")
    assert key not in err
    id_ = key.split("_")[1]
    assert main(["keys", "list", "--data", data]) == main(["keys", "list", "--json", "--data", data]) == 0
    assert main(["keys", "rotate", id_, "--overlap", "1h", "--json", "--data", data]) == 0
    assert main(["keys", "revoke", id_, "--data", data]) == 0
    out, err = capsys.readouterr()
    assert key.split("_")[2] not in out + err
    assert id_ in out
