#!/usr/bin/env bash
# The tests on a fresh machine: a virtual environment, the installation, the whole suite.
# usage: bash tests/run.sh [options of pytest]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
[[ -d .venv ]] || "$python" -m venv .venv
.venv/bin/pip install --quiet --constraint constraints.txt torch
.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[efficientnet-lite,export,tensorboard,test]'
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
exec .venv/bin/python -m pytest "$@"
