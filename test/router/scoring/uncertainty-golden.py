"""Writes uncertainty-golden.json: digamma in 40 digits (mpmath), and upstream's compute_logu in float64 (torch).

    python3 uncertainty-golden.py /path/to/R2R/r2r/utils/metrics.py
"""

import importlib.util
import json
import pathlib
import random
import sys

import mpmath
import torch

mpmath.mp.dps = 40
random.seed(4)

points = [1e-9, 1e-3, 0.1, 0.5, 1, 1.4616321449683623, 1.5, 2, 3, 9.999999, 10, 10.5, 100, 1234.5, 1e6, 1e12]
points += [-0.5, -0.001, -1.25, -9.75, -10.5, -33.3, -250.125]
points += [random.uniform(0, 40) for _ in range(60)] + [random.uniform(-20, 0) for _ in range(20)]

spec = importlib.util.spec_from_file_location("metrics", sys.argv[1])
metrics = importlib.util.module_from_spec(spec)
spec.loader.exec_module(metrics)


def plain(number):
    """JSON has no infinities."""
    return number if number == number and abs(number) != float("inf") else str(number)


rows = []
for centre, width in [(24, 6), (14, 10), (30, 1), (4, 6), (0, 8), (-12, 6), (3, 0)]:
    for _ in range(6):
        logits = sorted((round((centre + random.uniform(-width, width)) * 8) / 8 for _ in range(12)), reverse=True)
        aleatoric, epistemic = metrics.compute_logu(torch.tensor(logits, dtype=torch.float64))
        rows.append({"logits": logits, "aleatoric": plain(aleatoric), "epistemic": plain(epistemic)})

golden = {"digamma": [[x, float(mpmath.digamma(mpmath.mpf(x)))] for x in points], "rows": rows}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(golden) + "\n")
