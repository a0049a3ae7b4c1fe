#!/usr/bin/env bash
# Makes a virtual environment for the trainer and its tests, or finds it, and prints its python. May be repeated.
# Debian's python3-torch with libopenblas0-pthread is used, and installed where root can; without apt-get PyTorch comes from PyPI.
# R2R_CACHE: where the environment lives (default: ~/.cache/r2r-kubernetes).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${R2R_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/r2r-kubernetes}/trainer
python=${PYTHON:-/usr/bin/python3}
mkdir -p "$(dirname "$venv")"

exec 9>"$venv.lock"
flock 9
if ! cmp -s "$here/requirements.txt" "$venv/ready" || ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
  if ! "$python" -c 'import torch, ensurepip' 2>/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    {
      apt-get update -q
      DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3-torch libopenblas0-pthread python3-venv
    } >&2
  fi
  rm -rf "$venv"
  "$python" -m venv --system-site-packages "$venv" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
  "$venv/bin/python" -c 'import torch' 2>/dev/null || "$venv/bin/pip" install --quiet 'torch<2.3' >&2
  cp "$here/requirements.txt" "$venv/ready"
fi
echo "$venv/bin/python"
