"""Label sets and SLM folders, small, in the formats that the trainer reads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

HIDDEN, LOGITS, VOCABULARY = 16, 12, 40
TINY = {"hidden_dims": [24, 16], "expansion_factor": 2, "dropout_rate": 0.1, "logits_size": LOGITS}


def label_rows(questions: range, tokens: int = 30, seed: int = 1, hidden: int = HIDDEN, logits: int = LOGITS, vocabulary: int = VOCABULARY) -> dict:
    """Upstream's columns. What is divergent can be told from the hidden state and the logits, with some noise."""
    rng = np.random.default_rng([seed, questions.start])
    count = len(questions) * tokens
    states = rng.normal(size=(count, hidden)).astype(np.float32)
    largest = -np.sort(-(2 * rng.normal(size=(count, logits))).astype(np.float32), axis=1)
    direction = np.random.default_rng(99).normal(size=hidden)
    score = states @ direction / np.sqrt(hidden) - (largest[:, 0] - largest[:, 1]) + 0.3 * rng.normal(size=count)
    mismatch = (score > 0.2).astype(np.int64)
    divergent = (score > 0.9).astype(np.int64)
    divergent[rng.random(count) < 0.02] = -1
    token = rng.integers(0, vocabulary, count)
    return {
        "data_id": np.repeat(np.array(questions, np.int64), tokens),
        "token_id": np.tile(np.arange(tokens, dtype=np.int64), len(questions)),
        "divergent": divergent,
        "small_token": token,
        "real_token": token,
        "small_logits": largest,
        "small_indices": np.tile(np.arange(logits, dtype=np.int64), (count, 1)),
        "small_last_hidden_states": states,
        "mismatch": mismatch,
        "mask": (np.arange(count) % 10 != 0).astype(np.int64),
    }


def table(rows: dict) -> pa.Table:
    lists = {name: pa.array(list(values)) if values.ndim > 1 else pa.array(values) for name, values in rows.items()}
    return pa.table(lists)


def write_parquet(path: Path, rows: dict, group: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(rows), path, row_group_size=group)
    return path


def label_set(folder: Path, questions: int = 40, **options: int) -> Path:
    half = questions // 2
    write_parquet(folder / "part-0.parquet", label_rows(range(half), **options))
    write_parquet(folder / "part-1.parquet", label_rows(range(half, questions), **options))
    return folder


def construct_step(workspace: Path) -> Path:
    """A workspace's folder as src/pipeline/workspace/step-folder.ts leaves it, of two parts. test/cli/pipeline-wrong-inputs.test.ts has real ones."""
    folder = workspace / f"construct-{'0a' * 8}"
    label_set(folder / "data")
    (folder / "parts").mkdir()
    parts = []
    for path in sorted((folder / "data").iterdir()):
        content = path.read_bytes()
        file = {"table": "labels", "file": f"data/{path.name}", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "rows": 600}
        parts.append({"part": path.stem, "firstQuestion": 0, "questions": 20, "files": [file], "counts": {}})
        record = {"formatVersion": 1, "part": path.stem, "shard": {"index": 0, "count": 1}, "files": [file], "counts": {}}
        (folder / "parts" / f"{path.stem}.json").write_text(json.dumps(record))
    (folder / "manifest.json").write_text(json.dumps({"formatVersion": 1, "step": "construct", "parts": parts}))
    return folder


def slm_folder(folder: Path, hidden: int = HIDDEN, vocabulary: int = VOCABULARY, tied: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(5)
    tensors = {"model.embed_tokens.weight": torch.randn(vocabulary, hidden, generator=generator)}
    if not tied:
        tensors["lm_head.weight"] = torch.randn(vocabulary, hidden, generator=generator)
    header, data = {}, b""
    for name, tensor in tensors.items():
        values = tensor.bfloat16().view(torch.int16).numpy().tobytes()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    (folder / "config.json").write_text(json.dumps({"tie_word_embeddings": tied, "hidden_size": hidden, "vocab_size": vocabulary}))
    return folder


def config(**changes: object) -> dict:
    """A quick training; `changes` by key path with __ for dots."""
    value: dict = {
        "model": {"init_args": {**TINY, "freeze_lm_head": True}},
        "training": {
            "seed": 3,
            "shuffle_rows": 256,
            "optimizer": {"lr": 2e-3},
            "params": {"num_epochs": 4, "batch_size": 64, "patience": 3, "device": "cpu"},
        },
    }
    for path, given in changes.items():
        *above, last = path.split("__")
        place = value
        for key in above:
            place = place.setdefault(key, {})
        place[last] = given
    return value
