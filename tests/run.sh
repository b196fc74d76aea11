#!/usr/bin/env bash
# The tests on a fresh machine: a virtual environment, the installation, lint, the whole suite.
# Where tests are named, these alone, in one process, without lint; and nothing is installed twice.
# usage: bash tests/run.sh [options of pytest] [tests/FILE.py[::TEST] ...]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
unset PYTHONDONTWRITEBYTECODE  # else each of the hundreds of processes that tests start compiles the same sources
named=
for word in "$@"; do
  if [[ $word != -* && -e ${word%%::*} ]]; then named=yes; fi
done
if [[ ! $named || ! -e .venv/bin/pytest ]]; then
  [[ -d .venv ]] || "$python" -m venv .venv
  .venv/bin/pip install --quiet --constraint constraints.txt torch
  .venv/bin/pip install --quiet --constraint constraints.txt --editable '.[efficientnet-lite,export,tensorboard,test]'
fi
if [[ $named ]]; then exec .venv/bin/python -m pytest "$@"; fi
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
# A worker for each core, 4 at most. With worksteal a file stays with one worker until another is idle; -n 0: one process.
exec .venv/bin/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal "$@"
