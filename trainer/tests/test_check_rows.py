"""Rows that another runtime is compared with: the probabilities are those of the router as it was saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from making import label_rows, table, write_parquet
from r2r_trainer.check_rows import MOST_ROWS, write_check_rows
from r2r_trainer.config import parse_config
from r2r_trainer.label_set import find_files
from r2r_trainer.network_arguments import parse_arguments
from r2r_trainer.networks import RouterNetwork
from r2r_trainer.scoring import measure
from r2r_trainer.slm import Slm
from r2r_trainer.splits import divide

Trained = Callable[..., Path]


def read(out: Path) -> list[dict[str, Any]]:
    found = json.loads((out / "check.json").read_text())
    assert found["formatVersion"] == 1 and all(list(row) == ["dataId", "tokenId", "probability"] for row in found["rows"])
    return found["rows"]


def test_they_are_the_test_rows_scored_with_the_saved_weights(trained: Trained, labels: Path, slm: Path):
    out = trained("out")
    rows, result = read(out), json.loads((out / "metrics.json").read_text())
    assert len(rows) == result["splits"]["test"]["rows"] <= MOST_ROWS
    assert (out / "check.json").stat().st_mtime_ns < (out / "metrics.json").stat().st_mtime_ns
    checkpoint = torch.load(out / "router.pt")
    given = {"hidden_states_size": 16, "logits_size": 12, **checkpoint["init_args"]}
    network = RouterNetwork(parse_arguments(checkpoint["model_type"], given, 16, 12, False), Slm(slm))
    network.load_trained_state(checkpoint["state_dict"])
    network.eval()
    data = pa.concat_tables([pq.read_table(path) for path in sorted(labels.glob("*.parquet"))]).to_pydict()
    place = {key: index for index, key in enumerate(zip(data["data_id"], data["token_id"]))}
    at = [place[row["dataId"], row["tokenId"]] for row in rows]
    assert len(set(at)) == len(at)
    floats = lambda name: torch.tensor([data[name][each] for each in at], dtype=torch.float32)  # noqa: E731
    tokens = torch.tensor([data["small_token"][each] for each in at])
    with torch.no_grad():
        expected = network.probability(network(floats("small_last_hidden_states"), tokens, floats("small_logits"))).double().numpy()
    probabilities = np.array([row["probability"] for row in rows])
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    found = measure(probabilities, np.array([data["divergent"][each] == 1 for each in at]), result["threshold"])
    assert found["confusion"] == result["confusion"]


def test_many_are_thinned_out_evenly(tmp_path: Path):
    write_parquet(tmp_path / "labels" / "all.parquet", label_rows(range(900)), group=500)
    rows = divide(parse_config({}), find_files(tmp_path / "labels"), 1, False).splits["test"]
    assert len(rows) > 2 * MOST_ROWS
    places = np.arange(len(rows)) / len(rows)
    assert write_check_rows(tmp_path, rows, places, False)
    found = read(tmp_path)
    steps = np.diff([row["probability"] for row in found]) * len(rows)
    assert len(found) == MOST_ROWS and found[0]["probability"] == 0 and found[-1]["probability"] == places[-1]
    assert steps.max() - steps.min() < 1.5
    keys = [key for group, chosen in zip(rows.groups, rows.chosen) for key in keys_of(group, chosen)]
    assert [(row["dataId"], row["tokenId"]) for row in found] == [keys[round(row["probability"] * len(rows))] for row in found]


def keys_of(group: Any, chosen: np.ndarray) -> list[tuple[int, int]]:
    part = pq.ParquetFile(group.path).read_row_group(group.index, ["data_id", "token_id"]).to_pydict()
    return [(part["data_id"][each], part["token_id"][each]) for each in chosen]


@pytest.mark.parametrize("what", ("no token_id", "named questions", "ids per split"))
def test_there_are_none_where_a_row_cannot_be_named(trained: Trained, tmp_path: Path, capsys: Any, what: str):
    data, flags = table(label_rows(range(40))), []
    if what == "no token_id":
        data = data.drop(["token_id"])
    elif what == "named questions":
        data = data.set_column(0, "data_id", data.column("data_id").cast(pa.string()))
    else:
        flags = ["--ids-per-split"]
    (tmp_path / "labels").mkdir()
    pq.write_table(data, tmp_path / "labels" / "all.parquet", row_group_size=100)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "check.json").write_text("of an earlier run")
    out = trained("out", "--data", str(tmp_path / "labels"), *flags)
    assert (out / "metrics.json").exists() and not (out / "check.json").exists()
    assert "does not say which row is which" in capsys.readouterr().err
