#!/usr/bin/env bash
# Makes examples/models: data, three trainings, folders, figures, model card, router network. Run it again to go on after
# an interruption.
#
#   trainer/tiny_models/make.sh             about 50 minutes on an idle core
#   trainer/tiny_models/make.sh router      the router network alone, for the SLM and LLM that are there: ten minutes
#   trainer/tiny_models/make.sh --quick     a smoke run of a minute, into the cache folder
#
# Needs Linux and Python >= 3.10. Debian's python3-torch with libopenblas0-pthread is used where it is installed
# (apt-get install python3-torch libopenblas0-pthread); otherwise PyTorch comes from PyPI.
# R2R_CACHE: where the virtual environment and checkpoints live (default: ~/.cache/r2r).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
trainer=$(dirname "$here")
cache=${R2R_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/r2r}/tiny-models
python=${PYTHON:-/usr/bin/python3}

if [ ! -f "$cache/venv/ready" ] || ! cmp -s "$trainer/requirements-tiny-models.txt" "$cache/venv/ready"; then
  "$python" -m venv --system-site-packages "$cache/venv"
  "$cache/venv/bin/pip" install --quiet --requirement "$trainer/requirements-tiny-models.txt"
  "$cache/venv/bin/python" -c 'import torch' 2>/dev/null || "$cache/venv/bin/pip" install --quiet torch
  cp "$trainer/requirements-tiny-models.txt" "$cache/venv/ready"
fi

# One thread: the matrices are small, and the second model can train beside the first.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
# Keep freed memory: returning it after each tensor costs more than the arithmetic (page faults).
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=67108864
# OpenBLAS's AVX-512 kernels, where the processor has them: a third faster here than those for Haswell.
if grep -q avx512bw /proc/cpuinfo 2>/dev/null; then export OPENBLAS_CORETYPE=SkylakeX; fi
export PYTHONPATH="$trainer" PYTHONDONTWRITEBYTECODE=1

run() { nice -n 10 "$cache/venv/bin/python" -m tiny_models --cache "$cache" "$@"; }

case " $* " in
  *" --quick "*) run "$@" --out "$cache/quick/out" ;;
  *)
    if [ "$(nproc)" -gt 1 ] && [ $# -eq 0 ]; then
      run data
      run slm & slm=$!
      trap 'kill "$slm" 2>/dev/null || true' EXIT
      run llm verifier
      wait "$slm"
      run export measure router
    else
      run "$@"
    fi
    ;;
esac
