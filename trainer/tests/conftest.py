from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest
import torch

from making import config, label_set, slm_folder
from r2r_trainer.__main__ import main

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return label_set(tmp_path_factory.mktemp("labels"))


@pytest.fixture(scope="session")
def slm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slm_folder(tmp_path_factory.mktemp("slm"))


@pytest.fixture
def command(tmp_path: Path, labels: Path, slm: Path) -> Callable[..., list[str]]:
    """The trainer's arguments; keywords change the configuration."""

    def make(out: Path, *flags: str, data: Path = labels, **changes: Any) -> list[str]:
        file = tmp_path / f"config-{len(list(tmp_path.glob('config-*')))}.json"
        file.write_text(json.dumps(config(**changes)))
        return ["--config", str(file), "--data", str(data), "--slm", str(slm), "--out", str(out), "--threads", "1", *flags]

    return make


@pytest.fixture
def trained(tmp_path: Path, command: Callable[..., list[str]]) -> Callable[..., Path]:
    """Trains in this process and gives the folder of the outcome."""

    def run(name: str, *flags: str, **changes: Any) -> Path:
        assert main(command(tmp_path / name, *flags, **changes)) == 0
        return tmp_path / name

    return run


@pytest.fixture
def refused(tmp_path: Path, command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Expects exit code 2 and gives the message."""

    def run(*flags: str, **changes: Any) -> str:
        assert main(command(tmp_path / "refused", *flags, **changes)) == 2
        assert not (tmp_path / "refused" / "router.pt").exists()
        return [line for line in capsys.readouterr().err.splitlines() if line.startswith("trainer: ")][-1]

    return run
