"""The SLM's input embedding and LM head, from its Hugging Face folder. Safetensors are read here, without a package."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

import torch
from torch import Tensor

from .errors import TrainerError

EMBEDDINGS = ("model.embed_tokens.weight", "transformer.wte.weight", "embed_tokens.weight")
LM_HEADS = ("lm_head.weight",)
TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}
LONGEST_HEADER = 100_000_000


class Slm:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not (folder / "config.json").is_file():
            raise _wrong(folder, "has no config.json", "give --slm the SLM's Hugging Face folder")
        self._tied = bool(_read_json(folder / "config.json").get("tie_word_embeddings", False))

    def embedding(self) -> Tensor:
        """The input embedding [vocabulary, width] in float32."""
        return self._tensor(EMBEDDINGS)

    def lm_head(self) -> Tensor:
        """The LM head [vocabulary, hidden] in float32; the embedding where they are tied."""
        return self._tensor(EMBEDDINGS if self._tied else LM_HEADS)

    def _tensor(self, names: tuple[str, ...]) -> Tensor:
        index = self._folder / "model.safetensors.index.json"
        if index.is_file():
            files = _read_json(index).get("weight_map", {})
            places = [(name, files[name]) for name in names if isinstance(files, dict) and name in files]
        else:
            places = [(name, "model.safetensors") for name in names]
        for name, file in places:
            if Path(file).name != file:
                raise _wrong(index, f"puts {name} outside of the folder", "use a folder as published")
            found = _read_tensor(self._folder / file, name)
            if found is not None:
                return found
        raise _wrong(self._folder, f"holds no tensor {' or '.join(names)}", "use the *.safetensors that the SLM is published with")


def _read_tensor(path: Path, name: str) -> Tensor | None:
    """None: the file holds none of this name."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            size = int.from_bytes(data[:8], "little")
            if not 2 <= size <= min(LONGEST_HEADER, len(data) - 8):
                raise _wrong(path, "is not in the safetensors format", "fetch the SLM again")
            entry = json.loads(data[8 : 8 + size]).get(name)
            if entry is None:
                return None
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            rows, width = entry["shape"]
            if entry["dtype"] not in TYPES:
                raise _wrong(path, f"has {name} in {entry['dtype']}", f"use weights in one of {', '.join(TYPES)}")
            kind = TYPES[entry["dtype"]]
            if end > len(data) or end - begin != rows * width * torch.empty((), dtype=kind).element_size():
                raise _wrong(path, f"is cut short, or {name} has another shape than it says", "fetch the SLM again")
            return torch.frombuffer(bytearray(data[begin:end]), dtype=kind).view(rows, width).float()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _wrong(path, f"cannot be read ({error})", "fetch the SLM again") from error


def _read_json(path: Path) -> dict:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _wrong(path, f"cannot be read ({error})", "fetch the SLM again") from error
    if not isinstance(value, dict):
        raise _wrong(path, "is not a JSON object", "fetch the SLM again")
    return value


def _wrong(path: Path, problem: str, fix: str) -> TrainerError:
    return TrainerError("SLM_INVALID", str(path), problem, fix)
