"""A label set in the construct step's folder: lost or damaged, it is that step's to make again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Callable

import pytest

from making import construct_step
from r2r_trainer import label_set, step_folder, training
from r2r_trainer.__main__ import main

PART = "part-1"


@pytest.fixture
def step(tmp_path: Path) -> Path:
    return construct_step(tmp_path)


@pytest.fixture
def train(tmp_path: Path, step: Path, command: Callable[..., list[str]]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Exit code and last words of a training beside the step."""

    def run(*flags: str, **changes: Any) -> tuple[int, dict[str, Any]]:
        log = tmp_path / "words"
        code = main(command(tmp_path / "train-1", "--termination-log", str(log), *flags, data=step / "data", **changes))
        return code, json.loads(log.read_text())

    return run


def damage(step: Path) -> Path:
    file = step / "data" / f"{PART}.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return file


def short(step: Path) -> Path:
    file = step / "data" / f"{PART}.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    return file


def lose(step: Path) -> Path:
    file = step / "data" / f"{PART}.parquet"
    file.unlink()
    return file


@pytest.mark.parametrize("spoil", (damage, short, lose))
def test_a_part_that_is_not_what_was_written_is_set_aside_and_made_again(step: Path, train: Callable[..., Any], spoil: Callable[[Path], Path]):
    good = (step / "data" / f"{PART}.parquet").read_bytes()
    manifest, record = ((step / name).read_text() for name in ("manifest.json", f"parts/{PART}.json"))
    file = spoil(step)
    code, words = train()
    assert (code, words["code"], words["faultyStep"], words["field"]) == (1, "PIPELINE_PART_CORRUPT", "construct", str(file))
    assert words["retryable"] and "run step construct again" in words["fix"]
    assert not (step / "manifest.json").exists() and not (step / f"parts/{PART}.json").exists() and (step / "parts/part-0.json").exists()
    assert not file.exists() and file.with_name(f"{file.name}.corrupt").exists() == (spoil is not lose)
    code, words = train()
    assert (code, words["code"], words["faultyStep"], words["retryable"]) == (2, "PIPELINE_INPUT_MISSING", "construct", False)
    file.write_bytes(good)
    (step / f"parts/{PART}.json").write_text(record)
    (step / "manifest.json").write_text(manifest)
    code, words = train()
    assert code == 0 and words["ok"]


@pytest.mark.parametrize("lost", ("", "data", "manifest.json"))
def test_what_is_lost_is_made_again(step: Path, train: Callable[..., Any], lost: str):
    shutil.rmtree(step / lost) if (step / lost).is_dir() else (step / lost).unlink()
    code, words = train()
    # without its files only: each of them is lost
    expected = (1, "PIPELINE_PART_CORRUPT") if lost == "data" else (2, "PIPELINE_INPUT_MISSING")
    assert (code, words["code"]) == expected and words["faultyStep"] == "construct" and str(step) in words["field"]


@pytest.mark.parametrize("text", ("", "[]", "{", '{"formatVersion": 1, "step": "construct"}'))
def test_a_manifest_that_is_none_is_as_good_as_lost(step: Path, train: Callable[..., Any], text: str):
    (step / "manifest.json").write_text(text)
    code, words = train()
    assert (code, words["code"], words["faultyStep"]) == (2, "PIPELINE_INPUT_MISSING", "construct")


def test_a_manifest_of_another_version_is_for_a_person(step: Path, train: Callable[..., Any]):
    """Who asked the construct step again would be told that it is done, for ever."""
    (step / "manifest.json").write_text('{"formatVersion": 2, "step": "construct", "parts": []}')
    code, words = train()
    assert (code, words["code"], words["retryable"]) == (2, "LABEL_SET_INVALID", False) and "faultyStep" not in words


def test_a_resumed_and_a_finished_training_look_again(step: Path, train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any) -> None:
        raise RuntimeError("the device is gone")

    with monkeypatch.context() as patch:
        patch.setattr(training, "_validate", fail)
        with pytest.raises(RuntimeError):
            train("--checkpoint-seconds", "0")
    assert (step.parent / "train-1" / "state.pt").exists()
    kept = step.parent / "kept"
    shutil.copytree(step, kept)
    for _ in range(2):
        damage(step)
        assert train()[1]["code"] == "PIPELINE_PART_CORRUPT"
        shutil.rmtree(step)
        shutil.copytree(kept, step)
        assert train()[0] == 0, "the training that was begun, then the finished one"


def test_each_file_is_looked_at_once_in_a_run(step: Path, train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    looked, digest_of = [], step_folder.digest_of
    monkeypatch.setattr(step_folder, "digest_of", lambda path: looked.append(path.name) or digest_of(path))
    assert train("--memory-mib", "0")[0] == 0
    assert sorted(looked) == ["part-0.parquet", "part-1.parquet"]


def test_a_file_that_is_lost_while_it_is_read_is_the_steps_too(step: Path, train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    validate = training._validate

    def losing(*job: Any) -> None:
        (step / "data" / f"{PART}.parquet").unlink(missing_ok=True)
        validate(*job)

    monkeypatch.setattr(training, "_validate", losing)
    code, words = train("--memory-mib", "0")
    assert (code, words["code"], words["faultyStep"]) == (1, "PIPELINE_PART_CORRUPT", "construct")


def test_on_a_volume_that_cannot_be_written_to_it_is_for_a_person(step: Path, train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    """As a claim that is mounted read-only; root is not kept from writing by permissions."""

    def refuse(*_: Any) -> None:
        raise OSError(30, "Read-only file system")

    damage(step)
    monkeypatch.setattr(step_folder, "set_aside", refuse)
    code, words = train()
    assert (code, words["code"], words["retryable"]) == (2, "LABEL_SET_INVALID", False) and "faultyStep" not in words
    assert "cannot be set aside" in words["message"]


def test_a_disk_that_fails_may_pass(step: Path, train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    def fail(_: Path) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(step_folder, "digest_of", fail)
    code, words = train()
    assert (code, words["code"], words["retryable"]) == (1, "PIPELINE_WORKSPACE", True)
    assert (step / "manifest.json").exists()


def test_files_that_the_step_did_not_write_are_refused(step: Path, train: Callable[..., Any]):
    shutil.copy(step / "data" / f"{PART}.parquet", step / "data" / "part-2.parquet")
    code, words = train()
    assert (code, words["code"]) == (2, "LABEL_SET_INVALID") and words["field"].endswith("part-2.parquet") and "faultyStep" not in words


def test_a_label_set_of_elsewhere_is_taken_as_it_is(tmp_path: Path, step: Path, command: Callable[..., list[str]]):
    shutil.copytree(step / "data", tmp_path / "elsewhere" / "data")
    assert step_folder.step_folder(tmp_path / "elsewhere" / "data") is None
    assert main(command(tmp_path / "out", data=tmp_path / "elsewhere" / "data")) == 0


def test_processes_that_train_together_end_with_it(tmp_path: Path, step: Path, train: Callable[..., Any]):
    damage(step)
    code, words = train("--processes", "2")
    assert (code, words["code"], words["faultyStep"]) == (1, "PIPELINE_PART_CORRUPT", "construct")


def test_what_is_set_aside_is_no_part_of_a_label_set(step: Path):
    (step / "data" / f"{PART}.parquet").rename(step / "data" / f"{PART}.parquet.corrupt")
    assert [path.name for path in label_set.all_files(step / "data")] == ["part-0.parquet"]
