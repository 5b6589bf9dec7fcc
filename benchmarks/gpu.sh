#!/bin/sh
# Everything that needs a GPU, in one call: bench, operators of one step, tests marked gpu.
#   benchmarks/gpu.sh [FOLDER]     results go there (default: benchmarks/results)
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
OUT=${1:-benchmarks/results}
"$PYTHON" -m gholm_kit bench --suite gpu --device cuda --out "$OUT"
# The drawn pictures are smaller than photographs: what the loader gives here is the most that it can give.
"$PYTHON" -m gholm_kit data get mini
"$PYTHON" -m gholm_kit bench --loader --device cuda --model convnext_small --size 448 --batch 16 --precision bf16 \
    --workers 14 --out "$OUT"
"$PYTHON" -m pytest -q -m gpu tests
