"""The construct step's folder in the pipeline's workspace, `construct-HASH`: whether its parts are what was written.

The formats, and what is done about a damaged part, are those of src/pipeline/workspace (manifest.ts, step-folder.ts).
"""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .errors import TrainerError
from .files import digest_of, sync_folder
from .label_set import all_files

STEP = "construct"
FORMAT = 1
NAME = re.compile(rf"{STEP}-[0-9a-f]{{16}}")
READ_AT_ONCE = 4  # files; hashing goes on in threads


@dataclass(frozen=True)
class PartFile:
    part: str
    file: str  # below the step's folder
    bytes: int
    sha256: str


def step_folder(data: Path | None) -> Path | None:
    """The step's folder, where `data` is the folder of its parts. None: the label set is of elsewhere."""
    if data is None or data.name != "data":
        return None
    folder = data.absolute().parent
    return folder if NAME.fullmatch(folder.name) else None


def check_parts(folder: Path) -> None:
    """Reads every file once. Damaged ones are set aside, so that the step makes them again.

    @raises TrainerError PIPELINE_INPUT_MISSING, PIPELINE_PART_CORRUPT, whose faulty step is the construct step; PIPELINE_WORKSPACE;
    LABEL_SET_INVALID for files that are not the step's, another version's manifest, and damaged files on a volume that cannot be written to
    """
    files = _listed(folder / "manifest.json")
    _refuse_others(folder, {each.file for each in files})
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        whole = list(pool.map(lambda each: _is_whole(folder / each.file, each), files))
    damaged = [each for each, good in zip(files, whole) if not good]
    if not damaged:
        return
    subject = str(folder / damaged[0].file)
    others = f" (and so are {len(damaged) - 1} others)" if len(damaged) > 1 else ""
    problem = f"the file is not what was written: its digest has changed, or it is missing{others}"
    try:
        set_aside(folder, damaged)
    except OSError as error:
        fix = "construct the label set again, and check its volume"
        raise TrainerError("LABEL_SET_INVALID", subject, f"{problem}, and it cannot be set aside ({error})", fix) from error
    fix = f"run step {STEP} again, which makes this part again; then check the volume"
    raise TrainerError("PIPELINE_PART_CORRUPT", subject, problem, fix, STEP)


def set_aside(folder: Path, damaged: list[PartFile]) -> None:
    """The manifest first: without it the step is not done, whatever happens next."""
    (folder / "manifest.json").unlink(missing_ok=True)
    sync_folder(folder)
    records = folder / "parts"
    records.mkdir(exist_ok=True)
    for each in damaged:
        (records / f"{each.part}.json").unlink(missing_ok=True)
    sync_folder(records)
    for each in damaged:
        path = folder / each.file
        if path.exists():
            os.replace(path, path.with_name(f"{path.name}.corrupt"))


def _listed(manifest: Path) -> list[PartFile]:
    try:
        value = json.loads(manifest.read_text(encoding="utf-8"))
        if value["formatVersion"] != FORMAT:
            # the construct step would find itself done, and be asked for it again and again
            fix = "let the versions of the trainer and of the pipeline be the same"
            raise TrainerError("LABEL_SET_INVALID", str(manifest), f"is of format {value['formatVersion']}, not {FORMAT}", fix)
        files = [
            PartFile(str(part["part"]), str(file["file"]), int(file["bytes"]), str(file["sha256"]))
            for part in value["parts"]
            for file in part["files"]
        ]
        if not all(re.fullmatch(r"data/[^/\0]+", each.file) for each in files):
            raise ValueError("files lie elsewhere")
        return files
    except (FileNotFoundError, NotADirectoryError):
        problem = "is not there: the construct step is not done"
    except OSError as error:
        raise _unreadable(manifest, error) from error
    except (ValueError, KeyError, TypeError) as error:
        problem = f"is no manifest of this version ({error})"
    raise TrainerError("PIPELINE_INPUT_MISSING", str(manifest), problem, f"run step {STEP} first", STEP)


def _refuse_others(folder: Path, known: set[str]) -> None:
    for path in all_files(folder / "data"):
        if path.relative_to(folder).as_posix() not in known:
            fix = "move it out of this folder, or give --data another one"
            raise TrainerError("LABEL_SET_INVALID", str(path), "is none of the files that the construct step wrote", fix)


def _is_whole(path: Path, file: PartFile) -> bool:
    try:
        return path.stat().st_size == file.bytes and digest_of(path) == f"sha256:{file.sha256}"
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> TrainerError:
    return TrainerError("PIPELINE_WORKSPACE", str(path), f"cannot be read ({error})", "check the claim's volume and its permissions")
