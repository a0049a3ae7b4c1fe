"""One run: read, train, choose the threshold, write."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import torch

from . import scoring
from .batches import Batches, Rows, from_disk, kept_in_memory
from .check_rows import write_check_rows
from .checkpoint_file import write_checkpoint
from .config import Config
from .curves import write_curves
from .errors import TrainerError
from .features import Shape, widths
from .files import digest_of, where_there_is_room, write_json
from .label_set import Group, column_names, invalid
from .losses import make_loss
from .network_arguments import Arguments, parse_arguments
from .networks import RouterNetwork
from .owners import is_marked, mark
from .processes import Processes
from .progress import Progress
from .slm import Slm
from .splits import Divided, divide, locate
from .state import Course, compare, discard
from .step_folder import check_parts, step_folder
from .training import Job, probabilities_of, train

RESULT = "metrics.json"
FORMAT = 1
SCORED_ROWS = 4096  # at a time
OPENED = 4  # times that a folder is, which a cleaning takes away meanwhile


@dataclass(frozen=True)
class Options:
    data: Path | None
    out: Path
    slm: Path | None
    memory_mib: int
    save_every: float
    restart: bool
    shared_ids: bool
    embedding: bool
    mark: str | None = None  # of whose run it is, in the workspace's folders


def run(config: Config, options: Options, processes: Processes, progress: Progress, log: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """What RESULT holds. A run that is done already gives it again. @raises TrainerError, Interrupted"""
    try:
        return _run(config, options, processes, progress, log)
    except TrainerError as error:
        if error.code == "LABEL_SET_INVALID" and processes.first:
            _check_label_set(options)  # lost or damaged while it was read: another step mends that, no person
        raise


def _run(config: Config, options: Options, processes: Processes, progress: Progress, log: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    folder = options.out
    if processes.first:
        _prepare(folder, options)
        progress.phase("read")
        _check_label_set(options)
    processes.meet()
    files = locate(config, options.data)
    arguments, example = _arguments(config, files, options)
    divided = divide(config, files, arguments.window, options.shared_ids)
    identity = _identity(config, arguments, divided, options)
    done = _result(folder, identity)
    if done is not None:
        progress.say(f"done already: {folder / RESULT}")
        discard(folder)
        return done
    torch.manual_seed(config.seed)
    slm = _slm(arguments, options)
    network = RouterNetwork(arguments, slm)
    shape = _shape(config, arguments, network)
    read = _readers(divided.splits, shape, options.memory_mib, progress)

    def batches(split: str, rows: int, shuffled: bool) -> Batches:
        shuffle_rows = config.shuffle_rows if shuffled else 8 * rows
        return Batches(
            divided.splits[split], read[split], shape, rows, shuffle_rows, config.seed, processes.rank, processes.world, shuffled
        )

    counts = [int((divided.splits["train"].classes == each).sum()) for each in range(arguments.divergent + 1)]
    loss, weights = make_loss(config.loss, config.loss_args, counts)
    for name, facts in divided.facts.items():
        progress.say(f"{name}: {facts['rows']:,} rows of {facts['questions']:,} questions, {facts['divergent']:,} divergent")
    progress.phase("train")
    job = Job(
        config=config,
        network=network.to(processes.device),
        loss=loss,
        train=batches("train", config.batch_rows, True),
        validation=batches("validation", SCORED_ROWS, False),
        rows=len(divided.splits["train"]),
        processes=processes,
        folder=folder,
        identity=identity,
        save_every=options.save_every,
        progress=progress,
        log=log,
    )
    course = train(job)
    progress.phase("threshold")
    scored = {name: probabilities_of(network, batches(name, SCORED_ROWS, False), processes) for name in ("validation", "test")}
    if not processes.first:
        processes.meet()
        return {}
    chosen = _threshold(config, *_positive(scored["test"], arguments))
    progress.phase("write")
    result = _write(config, options, network.cpu(), chosen, course, divided, scored, weights, identity, processes, progress)
    progress.done()
    discard(folder)
    processes.meet()
    return result


def _prepare(folder: Path, options: Options) -> None:
    try:
        with where_there_is_room(folder):
            for _ in range(OPENED):
                if options.mark is not None:
                    mark(folder, options.mark, makes=True)
                folder.mkdir(parents=True, exist_ok=True)
                if options.mark is None or is_marked(folder, options.mark):
                    break
            if options.restart:
                (folder / RESULT).unlink(missing_ok=True)
                discard(folder)
            (folder / ".writable").touch()
            (folder / ".writable").unlink()
    except OSError as error:
        raise TrainerError("OUTPUT_INVALID", str(folder), f"cannot be written to ({error})", "give --out a folder of your own") from error


def _check_label_set(options: Options) -> None:
    """Where it is the construct step's. In every run, also a resumed or a finished one: what is damaged is made again before it is read."""
    folder = step_folder(options.data)
    if folder is None:
        return
    if options.mark is not None and folder.parent == options.out.absolute().parent:
        try:
            with where_there_is_room(folder):
                mark(folder, options.mark, makes=False)
        except OSError as error:
            fix = "check the claim's volume and its permissions"
            raise TrainerError("PIPELINE_WORKSPACE", str(folder), f"cannot be marked as used ({error})", fix) from error
    check_parts(folder)


def _arguments(config: Config, files: dict[str, list[Path]], options: Options) -> tuple[Arguments, Group]:
    from .label_set import list_groups
    from .network_arguments import KINDS

    group = next(iter(list_groups(files.get("train", files.get("all", []))[:1])), None)
    if group is None:
        raise invalid(files.get("train", files.get("all", [Path("the label set")]))[0], "has no rows", "construct the label set again")
    kind = next((value for name, value in KINDS.items() if name.lower() == config.model_type.lower()), None)
    names, prefix = column_names(group), config.splits["train"].input_prefix
    if kind and "token" in kind.inputs and f"{prefix}token" not in names:
        raise invalid(f"{group.path}, column {prefix}token", f"is missing; there are {', '.join(names)}", "set data.train.input_prefix")
    hidden, logits = widths(group, prefix, kind.inputs) if kind else (0, 0)
    given = dict(config.init_args)
    takes_slm = kind is not None and "pretrained_model_name" in kind.takes
    if takes_slm and "pretrained_model_name" not in given and options.slm is not None:
        given["pretrained_model_name"] = str(options.slm)
    return parse_arguments(config.model_type, given, hidden, logits, config.multiclass), group


def _slm(arguments: Arguments, options: Options) -> Slm | None:
    """--slm, or the folder that the configuration names."""
    name = arguments.given.get("pretrained_model_name")
    if "pretrained_model_name" not in arguments.kind.takes:
        return None
    if options.slm is not None:
        return Slm(options.slm)
    if isinstance(name, str) and Path(name).is_dir():
        return Slm(Path(name))
    fix = "give --slm the SLM's Hugging Face folder"
    raise TrainerError("SLM_INVALID", "model.init_args.pretrained_model_name", f"{name!r} is no folder here", fix)


def _shape(config: Config, arguments: Arguments, network: RouterNetwork) -> Shape:
    embedding = getattr(network, "token_embeddings", None)
    return Shape(
        inputs=arguments.kind.inputs,
        prefix=config.splits["train"].input_prefix,
        hidden=arguments.hidden // arguments.window,
        logits=arguments.logits // arguments.window,
        window=arguments.window,
        vocabulary=embedding.num_embeddings if embedding is not None else None,
    )


def _readers(splits: dict[str, Rows], shape: Shape, memory_mib: int, progress: Progress) -> dict[str, Any]:
    """Keeps the splits in memory that fit, the training split first."""
    left, readers = memory_mib * 2**20, {}
    for name, rows in splits.items():
        size = len(rows) * shape.row_bytes()
        if size <= left:
            left -= size
            readers[name] = kept_in_memory(rows, shape)
        else:
            progress.say(f"{name} takes {size / 2**20:,.0f} MiB as tensors and is read from disk each epoch (--memory-mib)")
            readers[name] = from_disk(rows, shape)
    return readers


def _identity(config: Config, arguments: Arguments, divided: Divided, options: Options) -> dict[str, Any]:
    """Two runs of one identity do the same on the CPU. What only changes how fast is left out."""
    settings = json.loads(json.dumps(config.as_dict()))
    for name in ("device", "name"):
        del settings[name]
    for split in settings["splits"].values():
        del split["paths"]
    slm = sorted((each.name, each.stat().st_size) for each in options.slm.glob("*.safetensors")) if options.slm else []
    return {
        **settings,
        "init_args": json.loads(json.dumps(arguments.given)),
        "labelSet": divided.digest,
        "slm": hashlib.sha256(json.dumps(slm).encode()).hexdigest(),
    }


def _result(folder: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        then = result["identity"]
    except (ValueError, KeyError, TypeError) as error:
        raise TrainerError("OUTPUT_INVALID", str(path), "is not of this program", "give another --out, or pass --restart") from error
    compare(path, then, identity)
    return result


def _positive(scored: tuple[Any, Any], arguments: Arguments) -> tuple[Any, Any]:
    probabilities, classes = scored
    return probabilities, classes == arguments.divergent


def _threshold(config: Config, probabilities: Any, positive: Any) -> float:
    if config.objective == "skip":
        return 0.5
    if config.objective.startswith("objective-"):
        return scoring.best_objective(probabilities, positive, config.objective.removeprefix("objective-"))
    try:
        return scoring.choose_threshold(probabilities, positive, config.min_recall, config.grid)
    except ValueError as error:
        fix = "lower optimizing.min_recall, or leave optimizing.grid out"
        raise TrainerError("CONFIG_INVALID", "optimizing.min_recall", str(error), fix) from error


def _write(
    config: Config,
    options: Options,
    network: RouterNetwork,
    threshold: float,
    course: Course,
    divided: Divided,
    scored: dict[str, tuple[Any, Any]],
    weights: list[float],
    identity: dict[str, Any],
    processes: Processes,
    progress: Progress,
) -> dict[str, Any]:
    folder, arguments = options.out, network.arguments
    file = folder / f"{config.name}.pt"
    write_checkpoint(file, network, threshold, config.input_type, config.model_specific_args)
    if options.embedding:
        everything = folder / f"{config.name}_all.pt"
        write_checkpoint(everything, network, threshold, config.input_type, config.model_specific_args, embedding=True)
    probabilities, positive = _positive(scored["test"], arguments)
    before, after = (scoring.measure(probabilities, positive, each) for each in (0.5, threshold))
    validation = _positive(scored["validation"], arguments)
    pictures = write_curves(
        folder, course.history, scoring.curve(probabilities, positive), threshold, {"pre_opt": before, "post_opt": after}
    )
    if not pictures:
        progress.say("matplotlib is not installed: curves are written as CSV only")
    if not write_check_rows(folder, divided.splits["test"], probabilities, options.shared_ids):
        progress.say("the label set does not say which row is which (data_id, token_id): no rows are kept to check other runtimes with")
    rows = len(divided.splits["train"]) * len(course.history)
    result = {
        "format": FORMAT,
        "model": {"file": file.name, "digest": digest_of(file), "bytes": file.stat().st_size, "class": arguments.name},
        "parameters": sum(each.numel() for each in network.parameters() if each.requires_grad),
        "threshold": threshold,
        "recall": after["recall"],
        "positiveRate": after["positiveRate"],
        "minRecall": config.min_recall if config.objective == "recall" else None,
        "auc": scoring.area(probabilities, positive),
        "confusion": after["confusion"],
        "test": after,
        "testAtHalf": before,
        "validation": scoring.measure(*validation, threshold),
        "splits": divided.facts,
        "classWeights": weights,
        "epochs": len(course.history),
        "bestEpoch": course.best_epoch,
        "bestValidationLoss": course.best_loss,
        "seconds": round(course.seconds, 3),
        "rowsPerSecond": round(rows / course.seconds, 1) if course.seconds else None,
        "device": processes.device.type,
        "processes": processes.world,
        "torch": torch.__version__,
        "writtenAt": round(time.time(), 3),
        "identity": identity,
    }
    write_json(folder / f"{config.name}.json", _upstream_result(config, file, result))
    write_json(folder / RESULT, result)
    return result


def _upstream_result(config: Config, file: Path, result: dict[str, Any]) -> dict[str, Any]:
    names = ("accuracy", "precision", "recall", "f1", "positiveRate")
    short = lambda found: {"positive_rate" if name == "positiveRate" else name: found[name] for name in names}  # noqa: E731
    return {
        "config": config.as_dict(),
        "result": {
            "model_path": str(file),
            "results": {
                "threshold": result["threshold"],
                "best_epoch": result["bestEpoch"],
                "best_val_loss": result["bestValidationLoss"],
                "final_metrics": short(result["test"]),
                "pre_opt_metrics": short(result["testAtHalf"]),
            },
        },
    }
