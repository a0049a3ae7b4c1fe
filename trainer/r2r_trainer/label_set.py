"""A label set's files: parquet, or the Arrow files of `datasets.save_to_disk`. Read a part at a time, never as a whole.

Splits as given: folders or file names train*, validation*, test* (`data/train-00000.parquet`, `train/part-0.parquet`); anything else is
one set, to be split by question.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from .config import SPLITS
from .errors import TrainerError

ROWS_AT_ONCE = 4096
LEFT_ASIDE = ("cache-", "state", "dataset_info", ".", "_")
ALIASES = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "test": "test"}


@dataclass(frozen=True)
class Group:
    """Rows that are read together: a row group of a parquet file, a record batch of an Arrow file."""

    path: Path
    index: int
    rows: int

    def __str__(self) -> str:
        return f"{self.path} (row group {self.index})"


def invalid(subject: object, problem: str, fix: str) -> TrainerError:
    return TrainerError("LABEL_SET_INVALID", str(subject), problem, fix)


def find_files(folder: Path) -> dict[str, list[Path]]:
    """Files by split; under "all" those that belong to none. @raises TrainerError"""
    if not folder.exists():
        raise invalid(folder, "is not there", "give --data the folder that the construct step wrote")
    files = all_files(folder)
    if not files:
        raise invalid(folder, "holds no .parquet or .arrow file", "give --data the folder that the construct step wrote")
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(_split_of(path.relative_to(folder) if path != folder else Path("all")), []).append(path)
    if "all" in found and len(found) > 1:
        fix = f"name every file after its split ({', '.join(SPLITS)}), or none"
        raise invalid(found["all"][0], "belongs to no split, other files do", fix)
    return found


def all_files(folder: Path) -> list[Path]:
    """Those that hold rows, in a folder or of one file."""
    files = [folder] if folder.is_file() else sorted(each for each in folder.rglob("*") if each.suffix in (".parquet", ".arrow"))
    return [each for each in files if not each.name.startswith(LEFT_ASIDE)]


def _split_of(path: Path) -> str:
    for part in path.parts:
        name = part.split(".")[0].split("-")[0].split("_")[0].lower()
        if name in ALIASES:
            return ALIASES[name]
    return "all"


def list_groups(paths: list[Path]) -> list[Group]:
    """@raises TrainerError naming a file that cannot be read"""
    groups = []
    for path in paths:
        with _reading(path):
            if path.suffix == ".arrow":
                sizes = [batch.num_rows for batch in _arrow_batches(path)]
            else:
                with pq.ParquetFile(path) as file:
                    sizes = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
        groups += [Group(path, index, rows) for index, rows in enumerate(sizes) if rows]
    return groups


def read_group(group: Group, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a group in order, some thousand at a time. @raises TrainerError"""
    with _reading(group):
        if group.path.suffix == ".arrow":
            batch = _arrow_batches(group.path)[group.index]
            _require(group, batch.schema, columns)
            batch = batch.select(columns)
            yield from (batch.slice(start, ROWS_AT_ONCE) for start in range(0, batch.num_rows, ROWS_AT_ONCE))
            return
        with pq.ParquetFile(group.path, buffer_size=1 << 20) as file:
            _require(group, file.schema_arrow, columns)
            yield from file.iter_batches(ROWS_AT_ONCE, [group.index], columns)


def column_names(group: Group) -> list[str]:
    with _reading(group):
        return (_arrow_batches(group.path)[0].schema if group.path.suffix == ".arrow" else pq.read_schema(group.path)).names


_opened: dict[Path, list[pa.RecordBatch]] = {}


def _arrow_batches(path: Path) -> list[pa.RecordBatch]:
    """Mapped, so that only what is looked at takes memory."""
    if path not in _opened:
        mapped = pa.memory_map(str(path))
        try:
            _opened[path] = list(pa.ipc.open_stream(mapped))
        except pa.ArrowInvalid:
            file = pa.ipc.open_file(mapped)
            _opened[path] = [file.get_batch(index) for index in range(file.num_record_batches)]
    return _opened[path]


def _require(group: Group, schema: pa.Schema, columns: list[str]) -> None:
    for column in columns:
        if column not in schema.names:
            raise invalid(
                f"{group.path}, column {column}", f"is missing; there are {', '.join(schema.names)}", "construct the label set again"
            )


class _reading:
    """Says which file could not be read."""

    def __init__(self, subject: object) -> None:
        self._subject = subject

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (pa.ArrowException, OSError)):
            raise invalid(self._subject, f"cannot be read ({error})", "construct this part of the label set again") from error
