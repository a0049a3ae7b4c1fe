"""Whole trainings, small."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import torch

from making import LOGITS, config
from r2r_trainer.__main__ import main
from r2r_trainer.errors import CODES, TrainerError
from r2r_trainer.termination import failed, succeeded

Trained = Callable[..., Path]


def test_a_training_learns_and_leaves_all_it_promises(trained: Trained):
    out = trained("out", training__params__num_epochs=12, training__params__patience=12)
    result = json.loads((out / "metrics.json").read_text())
    assert result["recall"] >= 0.95 and result["positiveRate"] < 0.6 and result["auc"] > 0.85
    test = result["test"]
    confusion = result["confusion"]
    assert sum(confusion.values()) == test["rows"] == result["splits"]["test"]["rows"]
    assert test["recall"] == confusion["truePositive"] / result["splits"]["test"]["divergent"]
    history = csv_rows(out / "training_curves.csv")
    losses = [float(each["validationLoss"]) for each in history]
    assert result["bestValidationLoss"] == min(losses) and result["bestEpoch"] == 1 + losses.index(min(losses))
    assert result["epochs"] == len(losses) and result["rowsPerSecond"] > 0
    checkpoint = torch.load(out / "router.pt")
    assert checkpoint["common_args"]["threshold"] == result["threshold"]
    upstream = json.loads((out / "router.json").read_text())
    assert upstream["result"]["results"]["threshold"] == result["threshold"]
    assert set(upstream["result"]["results"]["final_metrics"]) == {"accuracy", "precision", "recall", "f1", "positive_rate"}
    points = csv_rows(out / "positive_rate_recall_data.csv")
    assert len(points) == 100 and float(points[0]["Recall"]) >= float(points[-1]["Recall"])
    progress = json.loads((out / "progress.json").read_text())
    assert progress["phase"] == "done" and progress["counts"]["bestEpoch"] == result["bestEpoch"]
    assert progress["done"] == progress["total"] == result["epochs"] * result["splits"]["train"]["rows"]
    assert not list(out.glob("*state*")) and not list(out.glob("best-*")) and not list(out.glob(".*"))


def test_curves_are_pictures_where_matplotlib_is_and_csv_alone_where_it_is_not(trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    names = ("training_curves", "positive_rate_recall_curve", "confusion_matrix_pre_opt", "confusion_matrix_post_opt")
    out = trained("with")
    assert all((out / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in names)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "matplotlib" else find(name, *rest))
    out = trained("without")
    assert not list(out.glob("*.png")) and (out / "training_curves.csv").exists()
    assert "matplotlib is not installed" in capsys.readouterr().err


def test_streamed_from_disk_or_kept_in_memory_the_router_is_the_same(trained: Trained):
    assert same(trained("memory"), trained("disk", "--memory-mib", "0"))


def test_a_seed_repeats_and_another_differs(trained: Trained):
    one = trained("one")
    assert same(one, trained("two")) and not same(one, trained("three", "--seed", "4"))


def test_a_finished_training_is_not_run_again(trained: Trained, capsys: Any):
    out = trained("out")
    before = (out / "metrics.json").read_bytes()
    trained("out")
    assert (out / "metrics.json").read_bytes() == before and "done already" in capsys.readouterr().err


def test_another_training_does_not_overwrite_one_unless_told(trained: Trained, tmp_path: Path, command: Callable[..., list[str]], capsys: Any):
    trained("out")
    other = command(tmp_path / "out", training__optimizer__lr=1e-3)
    assert main(other) == 2
    error = capsys.readouterr().err
    assert "STATE_INVALID" in error and "lr was 0.002, is 0.001; pass --restart" in error
    assert main([*other, "--restart"]) == 0


def test_patience_ends_a_training_and_the_best_epoch_is_kept(trained: Trained):
    out = trained("out", training__params__num_epochs=60, training__params__patience=3, training__optimizer__lr=1e-2)
    result = json.loads((out / "metrics.json").read_text())
    assert result["epochs"] == result["bestEpoch"] + 3 < 60


def test_early_stopping_never_looks_at_the_rows_that_choose_the_threshold(trained: Trained, tmp_path: Path, labels: Path):
    """Turned labels of the test questions change the threshold, and not one weight."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from r2r_trainer.config import parse_config
    from r2r_trainer.label_set import find_files
    from r2r_trainer.splits import divide

    rows = divide(parse_config({}), find_files(labels), 1, False).splits["test"]
    for path in labels.glob("*.parquet"):
        data = pq.read_table(path)
        values = data.column("divergent").to_numpy().copy()
        for group, chosen in zip(rows.groups, rows.chosen):
            if group.path == path:
                values[group.index * 100 + chosen] = 1 - values[group.index * 100 + chosen]
        data = data.set_column(data.schema.names.index("divergent"), "divergent", pa.array(values))
        (tmp_path / "turned").mkdir(exist_ok=True)
        pq.write_table(data, tmp_path / "turned" / path.name, row_group_size=100)
    one, other = (torch.load(trained(name, *flags) / "router.pt") for name, flags in (("as-is", ()), ("other", ("--data", str(tmp_path / "turned")))))
    assert all(torch.equal(one["state_dict"][name], other["state_dict"][name]) for name in one["state_dict"])
    assert one["common_args"]["threshold"] != other["common_args"]["threshold"]


HIDDEN_ONLY = {"hidden_dims": [16], "expansion_factor": 2}
LOGITS_ONLY = {**HIDDEN_ONLY, "logits_size": LOGITS}
THREE = {"output_type": "multiclass"}
CLASSES = [
    ("LogitsClassifier", LOGITS_ONLY, {}),
    ("HiddenStatesClassifier", {**HIDDEN_ONLY, "normalize_input": True}, {}),
    ("HiddenStatesClassifierWithLMHead", {**HIDDEN_ONLY, "topk": 9}, {}),
    ("HiddenStatesTokenLMHeadClassifier", {**HIDDEN_ONLY, "freeze_lm_head": False}, {}),
    ("HiddenStatesTokenLMHeadLogitsClassifier", {**LOGITS_ONLY, "use_position_embedding": True, "max_position_embeddings": 8}, {}),
    ("HiddenStatesLogitsClassifier", LOGITS_ONLY, {}),
    ("MultiLogitsClassifier", {**HIDDEN_ONLY, "logits_size": 2 * LOGITS, "neural_window_size": 2}, {}),
    ("MultiHiddenStatesClassifier", HIDDEN_ONLY, {}),
    ("MultiClassLogitsClassifier", LOGITS_ONLY, THREE),
    ("MultiClassHiddenStatesClassifier", {**HIDDEN_ONLY, "apply_softmax": False}, THREE),
    ("MultiClassHiddenStatesClassifierWithLMHead", HIDDEN_ONLY, THREE),
]


@pytest.mark.parametrize(("name", "arguments", "more"), CLASSES, ids=[each[0] for each in CLASSES])
def test_every_class_trains(trained: Trained, name: str, arguments: dict, more: dict):
    loss = {"training__loss__type": "CrossEntropyLoss"} if more else {}
    out = trained("out", model={"model_type": name, "init_args": arguments, **more}, training__params__num_epochs=2, **loss)
    checkpoint = torch.load(out / "router.pt")
    assert checkpoint["model_type"] == name
    assert ("token_embeddings.weight" in checkpoint["state_dict"]) == ("Token" in name)
    history = csv_rows(out / "training_curves.csv")
    assert float(history[1]["trainLoss"]) < float(history[0]["trainLoss"])


@pytest.mark.parametrize("loss", ({"type": "FocalLoss", "alpha": 0.8}, {"type": "DPOLoss", "positive_prob": 0.3}, {"type": "BCEWithLogitsLoss", "pos_weight": 3}))
def test_every_loss_trains(trained: Trained, loss: dict):
    history = csv_rows(trained("out", training__loss=loss) / "training_curves.csv")
    assert float(history[-1]["trainLoss"]) < float(history[0]["trainLoss"])


@pytest.mark.parametrize(("optimizing", "check"), [({"type": "skip"}, lambda t: t == 0.5), ({"type": "objective", "metric": "f1"}, lambda t: np.isclose(t * 10 % 1, (0, 1)).any())])
def test_other_ways_to_a_threshold(trained: Trained, optimizing: dict, check: Callable[[float], bool]):
    assert check(json.loads((trained("out", optimizing=optimizing) / "metrics.json").read_text())["threshold"])


def test_upstreams_configuration_trains_on_its_local_paths(tmp_path: Path, labels: Path, slm: Path):
    value = config(data__train__path=[f"local:{labels}"])
    value["model"]["init_args"]["pretrained_model_name"] = str(slm)
    (tmp_path / "c.json").write_text(json.dumps(value))
    assert main(["--config", str(tmp_path / "c.json"), "--out", str(tmp_path / "out")]) == 0
    assert torch.load(tmp_path / "out" / "router.pt")["init_args"]["pretrained_model_name"] == str(slm)


def test_the_operator_sees_how_far_it_is_and_how_it_ended(trained: Trained, refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import socket
    import urllib.request

    from r2r_trainer import training

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    seen, validate = [], training._validate

    def look(*job: Any) -> None:
        validate(*job)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/progress") as answer:
            seen.append(json.load(answer))

    monkeypatch.setattr(training, "_validate", look)
    log = tmp_path / "termination-log"
    flags = ("--hash", "abc", "--termination-log", str(log))
    out = trained("out", "--progress-port", str(port), *flags)
    result = json.loads((out / "metrics.json").read_text())
    rows = result["splits"]["train"]["rows"]
    assert [each["done"] for each in seen] == [rows, 2 * rows, 3 * rows, 4 * rows]
    assert seen[0]["hash"] == "abc" and seen[0]["partsTotal"] == 4 and seen[0]["counts"]["validationLoss"] > 0
    words = json.loads(log.read_text())
    assert (words["ok"], words["step"], words["hash"], words["sealed"]) == (True, "train", "abc", True)
    assert f"sha256:{words['digest']}" == result["model"]["digest"] and words["figures"]["recall"] == result["recall"]
    assert words["counts"]["bestEpoch"] == result["bestEpoch"] and all(type(each) is int for each in words["counts"].values())
    refused("--slm", str(tmp_path / ("long" * 40)), *flags)
    words = json.loads(log.read_text())
    assert (words["ok"], words["code"], words["retryable"]) == (False, "SLM_INVALID", False) and "--slm" in words["fix"]
    assert len(words["field"]) <= 256
    log.unlink()
    trained("out", *flags)
    words = json.loads(log.read_text())
    assert words["ok"] and f"sha256:{words['digest']}" == result["model"]["digest"], "a finished training says again what it made"


def test_the_operator_and_the_trainer_mean_the_same_last_words():
    """test/controllers/router/observation.test.ts reads this file."""
    splits = {name: {"rows": rows} for name, rows in (("train", 800), ("validation", 100), ("test", 100))}
    figures = {"threshold": 0.41, "recall": 0.951, "positiveRate": 0.13, "auc": None, "seconds": 12.5}
    result = {"model": {"digest": f"sha256:{'d' * 64}"}, "splits": splits, "epochs": 9, "bestEpoch": 7, "parameters": 1234, **figures}
    error = TrainerError("CONFIG_INVALID", "training.loss.type", "is 'X'", "use one of BCEWithLogitsLoss, FocalLoss")
    damaged = TrainerError("PIPELINE_PART_CORRUPT", "/w/construct-1/data/a.parquet", "is damaged", "run step construct again", "construct")
    errors = (error, RuntimeError("gone"), damaged)
    words = [succeeded("0123456789abcdef", result), *(failed("0123456789abcdef", each) for each in errors)]
    file = Path(__file__).parents[2] / "test" / "golden" / "trainer-last-words.json"
    text = json.dumps(words, indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text


def test_every_code_is_explained():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    assert [code for code in (*CODES, "TRAINER_DEFECT") if f"`{code}`" not in page] == []


def test_weights_and_biases_gets_every_epoch(tmp_path: Path, command: Callable[..., list[str]]):
    if importlib.util.find_spec("wandb") is None:
        pytest.skip("wandb is not installed")
    offline = {**os.environ, "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}
    arguments = [sys.executable, "-m", "r2r_trainer", *command(tmp_path / "out", "--wandb", "project")]
    done = subprocess.run(arguments, cwd=Path(__file__).parents[1], env=offline, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (record,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    epochs = len(csv_rows(tmp_path / "out" / "training_curves.csv"))
    assert record.read_bytes().count(b"validationLoss") >= epochs == 4


def test_widths_of_ones_own(trained: Trained):
    out = trained("out", "--hidden-dims", "10,6", "--with-embedding")
    assert torch.load(out / "router.pt")["init_args"]["hidden_dims"] == [10, 6]
    assert torch.load(out / "router_all.pt")["state_dict"]["token_embeddings.weight"].shape == (40, 16)


def test_what_cannot_be_trained(refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert "set it to 16, or leave it out" in refused(model__init_args__hidden_states_size=2048)
    assert "model.init_args.hidden_dims" in refused("--hidden-dims", "8,wide")
    assert "the loss is" in refused(training__optimizer__lr=1e30)
    assert "is not on this machine; fetch the label set" in _without_data(tmp_path, config(data__train__path="hf_datasets:path=a/b,split=train"))
    assert "data.train.path: is missing" in _without_data(tmp_path, config())
    if not torch.cuda.is_available():
        assert "DEVICE_INVALID" in refused("--device", "cuda")
    if importlib.util.find_spec("wandb") is None:
        assert "DEPENDENCY_MISSING" in refused("--wandb", "project")
    (tmp_path / "no.json").write_text("{")
    assert "--config" in refused("--config", str(tmp_path / "no.json"))
    (tmp_path / "file").touch()
    assert "OUTPUT_INVALID" in refused("--out", str(tmp_path / "file"))


def test_an_slm_that_is_only_named_is_asked_for(tmp_path: Path, labels: Path, capsys: Any):
    (tmp_path / "c.json").write_text(json.dumps(config(model__init_args__pretrained_model_name="org/slm")))
    assert main(["--config", str(tmp_path / "c.json"), "--data", str(labels), "--out", str(tmp_path / "out")]) == 2
    assert "'org/slm' is no folder here; give --slm" in capsys.readouterr().err


def _without_data(tmp_path: Path, value: dict) -> str:
    import contextlib
    import io

    (tmp_path / "d.json").write_text(json.dumps(value))
    with contextlib.redirect_stderr(io.StringIO()) as text:
        assert main(["--config", str(tmp_path / "d.json"), "--out", str(tmp_path / "never")]) == 2
    return text.getvalue()


def csv_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def same(one: Path, other: Path) -> bool:
    return (one / "router.pt").read_bytes() == (other / "router.pt").read_bytes()
