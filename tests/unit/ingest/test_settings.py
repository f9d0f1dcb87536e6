from pathlib import Path

import pytest

from spanledger_ingest.settings import Settings, SettingsError, load_settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "spanledger.toml"


def test_nothing_said_gives_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings() == Settings()


def test_argument_beats_environment_beats_file_beats_default(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("[server]\nport = 1\ngrpc_port = 2\nhost = '127.0.0.5'\n[store]\ndata = 'from-file'\n")
    monkeypatch.setenv("SPANLEDGER_SERVER_GRPC_PORT", "20")
    monkeypatch.setenv("SPANLEDGER_SERVER_PORT", "10")
    settings = load_settings(config, {"server": {"port": 100, "host": None}})
    assert (settings.server.port, settings.server.grpc_port, settings.server.host) == (100, 20, "127.0.0.5")
    assert settings.store.data == Path("from-file")
    assert settings.ingest.max_body_mib == 64


def test_the_file_of_the_current_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spanledger.toml").write_text("[content]\npolicy = 'masked'\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings().content.policy == "masked"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1\n", r"server\.prot: no such setting; did you mean 'port'\?"),
        ("[sevrer]\nport = 1\n", r"unknown section \[sevrer\]; did you mean 'server'\?"),
        ("[zzz]\n", r"unknown section \[zzz\]; known are server, store"),
        ("server = 3\n", r"server is a section"),
        ("[server]\nport = 'x'\n", r"server\.port: 'x' is not a whole number"),
        ("[server]\nport = 4318.5\n", r"server\.port: 4318\.5 is not a whole number"),
        ("[server]\nport = true\n", r"server\.port: True is not a whole number"),
        ("[ingest]\ncommit_seconds = -1\n", r"-1 is not a number of zero or more"),
        ("[ingest]\ncommit_seconds = inf\n", r"inf is not a number of zero or more"),
        ("[content]\npolicy = 'half'\n", r"'half' is not one of none, masked, full"),
        ("[store]\ndata = 7\n", r"7 is not text"),
        ("[prices]\noverride = 'x'\n", r"a list of tables is wanted"),
        ("[server\n", r"is not valid TOML"),
    ],
)
def test_a_wrong_file_is_told_what_is_wrong(config: Path, text: str, message: str) -> None:
    config.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_settings(config)


def test_a_missing_file_that_was_named_is_an_error(config: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read the configuration file"):
        load_settings(config)


def test_a_wrong_key_in_the_environment_names_the_variable(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("")
    monkeypatch.setenv("SPANLEDGER_SERVER_PROT", "1")
    with pytest.raises(SettingsError, match=r"SPANLEDGER_SERVER_PROT: no such setting; did you mean 'port'"):
        load_settings(config)


def test_names_of_the_instrumentation_are_left_alone(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("")
    monkeypatch.setenv("SPANLEDGER_DISABLED", "1")
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", "http://127.0.0.1:4318")
    assert load_settings(config) == Settings()
