"""Marks: whose a folder of the workspace is, so that `r2r pipeline clean` knows (src/pipeline/workspace/owners.ts)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import pytest

from making import construct_step
from r2r_trainer import owners
from r2r_trainer.__main__ import main

OUT = f"train-{'1b' * 8}"


def marks(folder: Path) -> list[str]:
    return sorted(each.name for each in (folder / "owners").glob("*"))


def test_a_training_marks_its_folder_and_the_label_sets(tmp_path: Path, command: Callable[..., list[str]]):
    step = construct_step(tmp_path)
    arguments = command(tmp_path / OUT, "--owner", "team/math", data=step / "data")
    assert main(arguments) == 0
    assert marks(tmp_path / OUT) == marks(step) == ["team.math"]
    for folder in (step, tmp_path / OUT):
        os.utime(folder / "owners" / "team.math", (1, 1))
    assert main([*arguments, "--owner", "team/other"]) == 0 and main(arguments) == 0
    assert marks(step) == ["team.math", "team.other"]
    assert all((folder / "owners" / "team.math").stat().st_mtime > 1 for folder in (step, tmp_path / OUT)), "used again"


def test_a_training_that_is_refused_has_marked_what_it_looked_at(tmp_path: Path, command: Callable[..., list[str]]):
    step = construct_step(tmp_path)
    (step / "manifest.json").unlink()
    assert main(command(tmp_path / OUT, "--owner", "team/math", data=step / "data")) == 2
    assert marks(tmp_path / OUT) == marks(step) == ["team.math"]


def test_a_label_set_that_is_not_there_is_not_made(tmp_path: Path, command: Callable[..., list[str]]):
    data = tmp_path / f"construct-{'0a' * 8}" / "data"
    assert main(command(tmp_path / OUT, "--owner", "team/math", data=data)) == 2
    assert not data.parent.exists()


def test_a_label_set_of_another_workspace_is_not_marked(tmp_path: Path, command: Callable[..., list[str]]):
    step = construct_step(tmp_path / "other")
    assert main(command(tmp_path / OUT, "--owner", "team/math", data=step / "data")) == 0
    assert not (step / "owners").exists()


def test_without_an_owner_nothing_is_marked(tmp_path: Path, command: Callable[..., list[str]]):
    assert main(command(tmp_path / OUT)) == 0
    assert not (tmp_path / OUT / "owners").exists()


def test_folders_on_their_way_out_are_put_back(tmp_path: Path, command: Callable[..., list[str]]):
    step = construct_step(tmp_path)
    arguments = command(tmp_path / OUT, "--owner", "team/math", data=step / "data")
    assert main(arguments) == 0
    before = (tmp_path / OUT / "metrics.json").read_bytes()
    for folder in (step, tmp_path / OUT):
        folder.rename(tmp_path / f".leaving.{folder.name}.team.math.1764424800000")
    assert main(arguments) == 0
    assert (tmp_path / OUT / "metrics.json").read_bytes() == before and marks(step) == ["team.math"]
    assert not list(tmp_path.glob(".leaving*"))


def test_a_folder_that_a_cleaning_takes_away_meanwhile_is_made_again(tmp_path: Path, command: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch):
    from r2r_trainer import run

    left, mark = [1], owners.mark

    def taken_away(folder: Path, *more: Any, **named: Any) -> None:
        mark(folder, *more, **named)
        if left[0]:
            left[0] -= 1
            folder.rename(tmp_path / "gone")

    monkeypatch.setattr(run, "mark", taken_away)
    assert main(command(tmp_path / OUT, "--owner", "team/math")) == 0
    assert marks(tmp_path / OUT) == ["team.math"]


@pytest.mark.parametrize("owner", ("math", "a/b/c", "Team/math", "team/", "team/m.ath", "-a/b"))
def test_an_owner_that_is_none_is_refused(refused: Callable[..., str], owner: str):
    assert "--owner" in refused(f"--owner={owner}")
