"""Some test rows with the probability that PyTorch gives them, so that whatever runs the router elsewhere can be compared with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from .batches import Rows
from .files import write_json
from .label_set import column_names, read_group

FILE = "check.json"
FORMAT = 1
MOST_ROWS = 1000
KEY = ["data_id", "token_id"]


def write_check_rows(folder: Path, rows: Rows, probabilities: np.ndarray, shared_ids: bool) -> bool:
    """Up to MOST_ROWS, spread evenly over the split. False, and no file, where data_id and token_id do not say which row it is: one of them is
    missing or no whole number, or ids begin anew in each split. `probabilities`: of the split's rows, group by group."""
    (folder / FILE).unlink(missing_ok=True)
    if shared_ids or any(not set(KEY) <= set(column_names(group)) for group in rows.groups):
        return False
    picked = np.unique(np.linspace(0, len(rows) - 1, min(MOST_ROWS, len(rows))).round().astype(np.int64))
    starts, found = rows.starts(), []
    for number, group in enumerate(rows.groups):
        here = picked[(starts[number] <= picked) & (picked < starts[number + 1])]
        if not len(here):
            continue
        table = pa.Table.from_batches(read_group(group, KEY)).take(pa.array(rows.chosen[number][here - starts[number]]))
        if not all(pa.types.is_integer(kind) for kind in table.schema.types):
            return False
        found += zip(*(table.column(name).to_pylist() for name in KEY), probabilities[here].tolist())
    write_json(folder / FILE, {"formatVersion": FORMAT, "rows": [dict(zip(("dataId", "tokenId", "probability"), row)) for row in found]})
    return True
