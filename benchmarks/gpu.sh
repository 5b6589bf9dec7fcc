#!/bin/sh
# Everything that needs a GPU, in one call: bench, operators of one step, tests marked gpu.
#   benchmarks/gpu.sh [FOLDER]     results go there (default: benchmarks/results)
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
OUT=${1:-benchmarks/results}
"$PYTHON" -m gholm_lib bench --suite gpu --device cuda --out "$OUT"
"$PYTHON" -m pytest -q -m gpu tests
