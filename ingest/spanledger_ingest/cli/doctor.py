"""``spanledger doctor``: look at everything, and say how to mend what is not right."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from spanledger_ingest.settings import client_api_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``doctor``."""
    parser.add_argument("--data", type=Path, metavar="DIR", help="data directory of the service")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file, TOML")
    parser.add_argument("--url", metavar="URL", help="the running service (default: where the configuration says)")
    parser.add_argument(
        "--api-key", metavar="KEY", help="env:NAME or file:PATH of an API key (default: SPANLEDGER_API_KEY)"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(options: argparse.Namespace) -> int:
    """Print a line for each finding; return 1 if something does not work."""
    from spanledger_ingest.doctor import examine  # noqa: PLC0415 - heavy, and not needed for --help

    findings = []
    for finding in examine(
        config=options.config, data=options.data, url=options.url, api_key=client_api_key(options.api_key)
    ):
        findings.append(finding)
        if not options.json:
            print(f"{finding.state:<4}  {finding.check:<15}  {finding.text}", flush=True)  # noqa: T201 - the answer
            if finding.mend:
                print(f"{'':<4}  {'':<15}  -> {finding.mend}", flush=True)  # noqa: T201 - same
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))  # noqa: T201 - same
    return int(any(finding.state == "fail" for finding in findings))
