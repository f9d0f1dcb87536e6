"""Build the wheel and the sdist, install the wheel into a clean environment, and run what users run.

Fails when a file is missing or a stranger is in a package, when the command line does not start, or when the light
install (no extras) loads or needs anything heavy.
"""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("spanledger", "spanledger_ingest", "spanledger_analytics", "spanledger_dashboards", "spanledger_alerts")
HEAVY = ("duckdb", "polars", "pyarrow", "fastapi", "sklearn", "grpc", "pydantic")

LIGHT_PROBE = f"""
import sys
import spanledger.auto
loaded = sorted(set({HEAVY!r}) & set(sys.modules))
sys.exit(f"import spanledger.auto loads {{loaded}}" if loaded else 0)
"""


def run(*command: str | Path) -> str:
    """Run a command and return what it printed; end the check with its output if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def tracked(package_dir: str) -> set[str]:
    """Return the files git knows below the top folder of a package."""
    return set(run("git", "-C", ROOT, "ls-files", package_dir).split())


def check_wheel(wheel: Path) -> None:
    """Fail unless the wheel holds exactly the tracked files of the five packages."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    folders = ("instrumentation", "ingest", "analytics", "dashboards", "alerts")
    expected = {
        path.split("/", 1)[1]
        for folder, package in zip(folders, PACKAGES, strict=True)
        for path in tracked(f"{folder}/{package}")
    }
    if names != expected:
        sys.exit(f"wheel: missing {sorted(expected - names)}, unexpected {sorted(names - expected)}")


def check_sdist(sdist: Path) -> None:
    """Fail unless the source distribution can stand alone."""
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    missing = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "tests/integration/conftest.py"} - names
    if missing:
        sys.exit(f"sdist: missing {sorted(missing)}")


def check_light_install(wheel: Path, folder: Path) -> None:
    """Fail unless a bare install imports light, shows its help, and asks for the server extra in plain words."""
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/pip", "install", "--quiet", wheel)
    run(folder / "bin/python", "-c", LIGHT_PROBE)
    run(folder / "bin/spanledger", "--help")
    served = subprocess.run(
        [folder / "bin/spanledger", "serve", "--data", folder / "data"], capture_output=True, text=True, check=False
    )
    if (
        served.returncode != 1
        or "pip install 'spanledger[server]'" not in served.stderr
        or "Traceback" in served.stderr
    ):
        sys.exit(f"serve without the server extra answered {served.returncode}: {served.stdout}{served.stderr}")


def main() -> None:
    """Run every check."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
        wheel = next(folder.glob("*.whl"))
        check_wheel(wheel)
        run(sys.executable, "-c", f"from hatchling.build import build_sdist; build_sdist({str(folder)!r})")
        check_sdist(next(folder.glob("*.tar.gz")))
        check_light_install(wheel, folder / "venv")
    print("packaging: wheel, sdist and light install are as they should be")


if __name__ == "__main__":
    main()
