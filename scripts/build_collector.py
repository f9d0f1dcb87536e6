"""Build the Collector of ``deploy/collector-builder.yaml``, and telemetrygen of the same version, with Go.

Prints the folder that holds the programs ``otelcol`` and ``telemetrygen``. It is named after the manifest's hash, so
that they are built once per machine and manifest: cold that takes two minutes on two cores.
"""

import argparse
import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

MANIFEST = Path(__file__).resolve().parent.parent / "deploy" / "collector-builder.yaml"
BUILDER = "go.opentelemetry.io/collector/cmd/builder"
TELEMETRYGEN = "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen"


class BuildError(Exception):
    """Go or the builder failed; the message ends with what they said."""


def main() -> int:
    """Build what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", action="store_true", help="print the folder, built or not, and build nothing")
    folder = cache_folder()
    if not parser.parse_args().path and not folder.is_dir():
        if shutil.which("go") is None:
            print("Go is missing: the Collector cannot be built (Go 1.26 or newer, https://go.dev/dl)", file=sys.stderr)
            return 1
        try:
            build(folder)
        except BuildError as error:
            print(error, file=sys.stderr)
            return 1
    print(folder)
    return 0


def cache_folder() -> Path:
    """Return where the programs of this manifest belong."""
    digest = hashlib.sha256(MANIFEST.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "spanledger-tests" / f"collector-{digest}"


def build(folder: Path) -> None:
    """Build beside the final place and rename, so that an interrupted or parallel run leaves no half of it.

    Raises:
        BuildError: Go or the builder failed.
    """
    version = "v" + re.findall(r"^ +version: (\S+)$", MANIFEST.read_text(encoding="utf-8"), re.MULTILINE)[0]
    work = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}")
    work.mkdir(parents=True)
    try:
        _install(f"{BUILDER}@{version}", work)
        _install(f"{TELEMETRYGEN}@{version}", work)
        shutil.copy(MANIFEST, work / "manifest.yaml")
        _run(["./builder", "--config", "manifest.yaml"], work)
        _keep_programs(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _install(package: str, work: Path) -> None:
    _run(["go", "install", package], work)


def _run(command: list[str], work: Path) -> None:
    # Tools are built from their own go.mod, whatever the machine's defaults say.
    env = {**os.environ, "GOBIN": str(work), "GOFLAGS": "-mod=mod -buildvcs=false", "CGO_ENABLED": "0"}
    done = subprocess.run(command, cwd=work, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def _keep_programs(work: Path, folder: Path) -> None:
    programs = work / "programs"
    programs.mkdir()
    for name in ("otelcol", "telemetrygen"):
        (work / name).rename(programs / name)
    try:
        programs.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another run was first
            raise


if __name__ == "__main__":
    sys.exit(main())
