"""Every wrong use has one clear line and an exit code: 1 for what failed, 2 for what was typed wrong."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Tools

PROGRAM = Path(sys.executable).with_name("spanledger")


def said(*words: object, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Run the command; return its exit code and what it wrote on stderr. It must not write anything else."""
    done = subprocess.run(
        [PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=90, check=False,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.stdout == ""
    return done.returncode, done.stderr


def failed(result: tuple[int, str], line: str) -> None:
    """Check that a command failed with this line and no other."""
    assert result == (1, f"spanledger: {line}\n")


def serve(data: Path, *words: object) -> tuple[int, str]:
    return said("serve", "--data", data, "--port", "0", "--grpc-port", "0", *words)


def test_http_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code, text = said("serve", "--data", tmp_path, "--port", port, "--grpc-port", "0", "--pg-port", "0")
    assert code == 1
    assert text.splitlines()[-1] == (
        f"spanledger: cannot listen on 127.0.0.1:{port} for HTTP: Address already in use: "
        "choose another with --port, or stop what listens there"
    )


def test_grpc_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code, text = said("serve", "--data", tmp_path, "--port", "0", "--grpc-port", port)
    assert code == 1
    assert text.splitlines()[-1] == (
        f"spanledger: cannot listen on 127.0.0.1:{port} for gRPC: Address already in use: "
        "choose another with --grpc-port, or stop what listens there"
    )


def test_data_directory_in_use(server: "Server") -> None:
    failed(
        serve(server.data),
        f"data directory '{server.data}' is in use by process {server.pid}: stop it, or choose another with --data",
    )
    assert server.get("/readyz").status == 200


def test_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failed(
        serve(tmp_path / "file"),
        f"cannot use data directory '{tmp_path}/file': File exists: "
        "choose another with --data, or mend its owner and rights",
    )


def test_data_directory_that_cannot_be_read(tmp_path: Path) -> None:
    # Root may read everything, so the directory is one that nobody can write in.
    failed(
        serve(Path("/proc/spanledger")),
        "cannot use data directory '/proc/spanledger': No such file or directory: "
        "choose another with --data, or mend its owner and rights",
    )
    data = tmp_path / "data"
    data.mkdir()
    (data / "journal").write_text("not a directory")
    code, text = serve(data)
    assert (code, len(text.splitlines())) == (1, 1)
    assert text.startswith(f"spanledger: cannot read the journal in '{data}/journal': File exists")


def test_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "spanledger.duckdb").write_bytes(b"not a database" * 1000)
    code, text = serve(tmp_path)
    assert (code, len(text.splitlines())) == (1, 1)
    assert text.startswith(f"spanledger: {tmp_path}/spanledger.duckdb is not a sound database: move it and ")


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("[server]\nprot = 1\n", "server.prot: no such setting; did you mean 'port'?"),
        ("[sever]\n", "unknown section [sever]; did you mean 'server'?"),
        ("[server]\nport = -1\n", "server.port: -1 is not a whole number of zero or more"),
        ("[content]\npolicy = 'some'\n", "content.policy: 'some' is not one of none, masked, full"),
    ],
)
def test_wrong_configuration(tmp_path: Path, config: str, line: str) -> None:
    file = tmp_path / "spanledger.toml"
    file.write_text(config)
    assert serve(tmp_path / "data", "--config", file) == (1, f"spanledger: {file}: {line}\n")
    assert not (tmp_path / "data").exists()


def test_wrong_configuration_in_the_environment(tmp_path: Path) -> None:
    code, text = said("serve", "--data", tmp_path, environment={"SPANLEDGER_INGEST_MAX_BODY_MB": "1"})
    failed((code, text), "SPANLEDGER_INGEST_MAX_BODY_MB: no such setting; did you mean 'max_body_mib'?")


def test_configuration_that_is_missing(tmp_path: Path) -> None:
    code, text = serve(tmp_path, "--config", tmp_path / "none.toml")
    line = f"spanledger: cannot read the configuration file '{tmp_path}/none.toml': No such file or directory\n"
    assert (code, text) == (1, line)


def test_address_that_is_not_ours(tmp_path: Path) -> None:
    code, text = serve(tmp_path, "--host", "0.0.0.0")  # noqa: S104 - it must refuse that
    assert code == 1
    assert text.splitlines()[-1].startswith("spanledger: refusing to listen on '0.0.0.0': no API key exists")


@pytest.mark.parametrize("words", [("serve", "--port", "many"), ("serve", "--prot", "1"), ("srve",)])
def test_words_that_mean_nothing_are_usage_errors(words: tuple[str, ...]) -> None:
    code, text = said(*words)
    assert code == 2
    assert text.splitlines()[-1].startswith("spanledger")
    assert "error: " in text.splitlines()[-1]


def test_light_install_is_told_what_to_install(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['duckdb'] = None; from spanledger_ingest.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", hide, "serve", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    failed(
        (done.returncode, done.stderr),
        "this command needs the service, which is not installed; install it with: pip install 'spanledger[server]'",
    )


def test_asking_a_service_that_is_not_there() -> None:
    code, text = said("explain", "0" * 31 + "1", "--url", "http://127.0.0.1:9")
    failed(
        (code, text),
        "no Spanledger service answers at http://127.0.0.1:9: start it with 'spanledger serve', or name it with --url",
    )


def test_corrupt_payload_is_400_and_harms_nobody(server: "Server", tools: "Tools") -> None:
    for body, media in ((b"\xff" * 100, "application/x-protobuf"), (b'{"resourceSpans": [', "application/json")):
        answer = server.post(body, media=media)
        assert (answer.status, answer.headers["content-type"]) == (400, media)
    assert server.post(tools.numbered("good")).status == 200
    server.wait_until_stored()
    rejected = server.get("/api/v1/ingest/rejected").json()["items"]
    assert sum(row["count"] for row in rejected) == 2


def test_grpc_on_the_http_port_is_told_the_right_port(server: "Server", tools: "Tools") -> None:
    import grpc

    server.grpc_port = server.port
    code, _ = server.call(tools.numbered("wrong"))
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert "a gRPC client connected to the HTTP port" in server.log.read_text()


def test_http_on_the_grpc_port_does_no_harm(server: "Server", tools: "Tools") -> None:
    http_port, server.port = server.port, server.grpc_port
    with pytest.raises((OSError, Exception), match=r".+"):  # gRPC's core answers in HTTP/2, or not at all
        server.post(tools.numbered("wrong"))
    server.port = http_port
    assert server.post(tools.numbered("right")).status == 200


@pytest.mark.parametrize("path", ["/v1/trace", "/api/v1/nothing", "/v2/traces"])
def test_wrong_path_is_404_and_names_what_there_is(server: "Server", tools: "Tools", path: str) -> None:
    answer = server.request("POST", path, tools.numbered("lost"), {"content-type": "application/x-protobuf"})
    assert answer.status == 404
    assert "there is nothing at" in answer.json()["detail"]
