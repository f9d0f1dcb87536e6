"""``spanledger keys`` and the ways a command is given a key."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from spanledger_ingest.auth import KeyRing, StateDb
from spanledger_ingest.cli import main
from spanledger_ingest.secret import Secret
from spanledger_ingest.settings import SettingsError, client_api_key, load_settings


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def keys(data: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["keys", *words, "--json", "--data", str(data)]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_life_of_a_key(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = keys(data, capsys, "create", "--tenant", "acme", "--role", "sre", "--scope", "read:content", "--name", "n")
    with closing(StateDb(data)) as state:
        principal = KeyRing(state).check(made["key"])
    assert {"ops:read", "read:content"} - principal.scopes == {"ops:read"}
    new = keys(data, capsys, "rotate", made["id"], "--overlap", "2h")
    assert (new["rotated_from"], new["role"], new["scopes"]) == (made["id"], "sre", ["read:content"])
    assert keys(data, capsys, "revoke", new["id"]) == {"revoked": new["id"]}
    listed = {key["id"]: key for key in keys(data, capsys, "list")}
    assert listed[new["id"]]["revoked"] < listed[made["id"]]["revoked"], "the old one still has its overlap"
    assert not any("key" in key for key in listed.values())


def test_keys_are_for_ingest_unless_said_otherwise_and_expire_when_said(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keys(data, capsys, "create", "--tenant", "acme")["role"] == "ingest"
    made = keys(data, capsys, "create", "--tenant", "acme", "--expires", "2099-01-31")
    assert made["expires"] == "2099-01-31T00:00:00Z"
    made = keys(data, capsys, "create", "--tenant", "acme", "--expires", "2099-01-31T12:00:00+02:00")
    assert made["expires"] == "2099-01-31T10:00:00Z"
    made = keys(data, capsys, "create", "--tenant", "a", "--tenant", "b", "--role", "gateway", "--expires", "90d")
    assert made["tenants"] == ["a", "b"]
    assert made["expires"] > made["created"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["revoke", "nobody"], "there is no key 'nobody'"),
        (["rotate", "nobody"], "there is no key 'nobody'"),
        (["create", "--tenant", "a", "--expires", "soon"], "neither a date"),
        (["create", "--tenant", "a", "--expires", "2020-01-01"], "is past"),
        (["create", "--tenant", "a", "--scope", "all"], "no scope 'all'"),
        (["create", "--tenant", "a", "--tenant", "b"], "has one tenant"),
        (["create", "--tenant", " "], "cannot name a tenant"),
        (["rotate", "x", "--overlap", "long"], "no length of time"),
        (["list", "--config", "/nonexistent.toml"], "cannot read the configuration file"),
    ],
)
def test_mistakes_are_told_in_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["keys", *words, "--data", str(data)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_wrong_usage_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["keys"], ["keys", "create"], ["keys", "create", "--tenant", "a", "--role", "king"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
    assert "invalid choice: 'king'" in capsys.readouterr().err


class _Echo(BaseHTTPRequestHandler):
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("authorization", ""))
        if self.path.startswith("/away"):
            self.send_response(302)
            self.send_header("location", f"http://localhost:{self.server.server_port}/")  # type: ignore[attr-defined]
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"items": []}')

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def service() -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []
    handler = type("Echo", (_Echo,), {"seen": seen})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def test_explain_sends_the_key_and_follows_nobody_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text("sl_from_file\n")
    monkeypatch.setenv("OTHER", "sl_other")
    monkeypatch.delenv("SPANLEDGER_API_KEY", raising=False)
    command = ["explain", "0" * 32, "--json", "--url"]
    with service() as (url, seen):
        assert main([*command, url]) == 0
        monkeypatch.setenv("SPANLEDGER_API_KEY", "sl_usual")
        assert main([*command, url]) == 0
        assert main([*command, url, "--api-key", "env:OTHER"]) == 0
        assert main([*command, url, "--api-key", f"file:{tmp_path / 'key'}"]) == 0
        assert main([*command, url, "--api-key", "sl_on_the_command_line"]) == 1
        assert main([*command, f"{url}/away"]) == 1
    assert seen == ["", "Bearer sl_usual", "Bearer sl_other", "Bearer sl_from_file", "Bearer sl_usual"]
    error = capsys.readouterr().err
    assert "env:NAME or file:PATH" in error
    assert "sl_" not in error


def test_secrets_are_text_that_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret("hush")
    assert "hush" not in f"{secret} {secret!r} {secret:>20} {[secret]}"
    assert secret == Secret("hush") != Secret("other")
    assert bool(secret)
    assert len({secret, Secret("hush")}) == 1
    with pytest.raises(TypeError, match="not pickled"):
        secret.__reduce__()
    monkeypatch.setenv("SPANLEDGER_API_KEY", "env:MISSING")
    with pytest.raises(SettingsError, match="env:MISSING is empty or missing"):
        client_api_key(None)
    with pytest.raises(SettingsError, match="cannot be read"):
        client_api_key(f"file:{tmp_path / 'missing'}")


@pytest.mark.parametrize(
    ("text", "meant"), [("true", True), ("True", True), ("1", True), ("false", False), ("0", False)]
)
def test_switches_of_the_environment(monkeypatch: pytest.MonkeyPatch, text: str, meant: object) -> None:
    monkeypatch.setenv("SPANLEDGER_AUTH_REQUIRED", text)
    assert load_settings().auth.required is meant


def test_a_switch_that_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLEDGER_AUTH_REQUIRED", "maybe")
    with pytest.raises(SettingsError, match="SPANLEDGER_AUTH_REQUIRED: 'maybe' is neither true nor false"):
        load_settings()
