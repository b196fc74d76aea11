#!/usr/bin/env bash
# The lowest versions of the direct dependencies that pyproject.toml allows, and tests of what leans on them most.
# usage: bash tests/minimum_versions.sh [options of pytest]     (by hand, before a release: it installs a second set)
# torch is taken as constraints.txt has it: older builds for a CPU alone are not everywhere. Tried on 28 November 2026 with
# Python 3.11: typer 0.19 to 0.25 warn beside click 8.5 and 0.26 reads no arguments from --config, pillow 10.0 has no sized
# default font, onnxscript 0.5 does not know torch 2.13, trimesh 4.6 gives other vertices: raised to what has passed.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet uv
export VIRTUAL_ENV=$work/venv UV_LINK_MODE=copy
"$work/venv/bin/uv" pip install --quiet --resolution lowest-direct --constraint constraints.txt \
  --editable '.[efficientnet-lite,export,test]'
"$work/venv/bin/uv" pip list
PATH=$work/venv/bin:$PATH "$work/venv/bin/python" -m pytest -q tests/test_cli.py tests/commands tests/data/store \
  tests/data/formats tests/golden/test_files.py tests/engine/info tests/engine/rendering/test_render.py "$@"
