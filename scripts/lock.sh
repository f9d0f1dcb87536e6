#!/usr/bin/env bash
# Pin every dependency with its hashes, without writing where it was fetched from. Needs uv.
set -euo pipefail
cd "$(dirname "$0")/.."
for extra in server demo dev; do
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
        --extra "$extra" pyproject.toml --output-file "requirements/$extra.txt"
done
