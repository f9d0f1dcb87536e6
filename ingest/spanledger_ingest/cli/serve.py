"""``spanledger serve``: run the service until it is told to stop."""

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from spanledger_ingest.settings import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``serve``."""
    parser.add_argument("--data", type=Path, metavar="DIR", help="directory of the database and the journal")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file, TOML")
    parser.add_argument("--host", metavar="H", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, metavar="N", help="OTLP/HTTP and REST (default 4318, 0 = any free port)")
    parser.add_argument("--grpc-port", type=int, metavar="N", help="OTLP/gRPC (default 4317, 0 = any free port)")
    parser.add_argument("--pg-port", type=int, metavar="N", help="PostgreSQL wire (default 5433, 0 = any free port)")


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; then take nothing new, store what was acknowledged, and end."""
    settings = load_settings(
        options.config,
        {
            "server": {
                "host": options.host,
                "port": options.port,
                "grpc_port": options.grpc_port,
                "pg_port": options.pg_port,
            },
            "store": {"data": options.data},
        },
    )
    from spanledger_ingest.runtime import tune  # noqa: PLC0415 - for the service alone
    from spanledger_ingest.service import build_service  # noqa: PLC0415 - heavy, and not needed for --help

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    service = build_service(settings)
    tune()
    service.start()
    try:
        for listener in service.listeners():
            print(f"listening {listener}", flush=True)  # noqa: T201 - what the command is asked to say
        stop.wait()
    finally:
        service.stop()
    return 0
