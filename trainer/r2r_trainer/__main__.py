"""The command line. Exits with 0 when the router is written, 2 for what its caller can put right, 143 after SIGTERM, 1 for what may pass and for
anything else."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable

import torch

from .config import Config, override, parse_config
from .errors import TrainerError
from .owners import mark_name
from .processes import Processes, join, start
from .progress import Progress, serve
from .run import Options, run
from .termination import failed, succeeded, write_last_words
from .training import Interrupted

DONE, MAY_PASS, WRONG, TERMINATED = 0, 1, 2, 143


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m r2r_trainer",
        description="Trains a router network on a label set and writes it as R2R does. Started again, it goes on where it was interrupted.",
        epilog="Several machines: torchrun ... -m r2r_trainer ... on each.",
    )
    add = parser.add_argument
    add("--config", metavar="FILE", type=Path, help="R2R's training configuration (JSON); without it the paper's values")
    add("--data", metavar="FOLDER", type=Path, help="the label set (parquet, or as datasets saves it); without it the configuration's local: paths")
    add("--out", metavar="FOLDER", type=Path, required=True, help="where the router, its figures and the state of the run are written")
    add("--slm", metavar="FOLDER", type=Path, help="the SLM's Hugging Face folder; without it pretrained_model_name must be one")
    add("--set", metavar="KEY=VALUE", action="append", default=[], help="replaces a value of the configuration, e.g. training.params.num_epochs=5")
    add("--hidden-dims", metavar="N,N,...", help="widths of the network's blocks")
    add("--seed", metavar="N", help="of weights, order and dropout")
    add("--device", choices=("auto", "cpu", "cuda"), help="[auto]")
    add("--processes", metavar="N", type=int, default=0, help="that train together, one a GPU [all GPUs of the machine, or 1]")
    add("--threads", metavar="N", type=int, default=0, help="of the CPU [all]")
    add("--memory-mib", metavar="N", type=int, default=1024, help="splits that fit are kept in memory [%(default)s]")
    add("--checkpoint-seconds", metavar="S", type=float, default=60, help="between two states of the run [%(default)s]")
    add("--restart", action="store_true", help="forget an earlier run in --out")
    add("--ids-per-split", action="store_true", help="the same data_id in two given splits is two questions")
    add("--with-embedding", action="store_true", help="write NAME_all.pt too, which holds the SLM's embedding")
    add("--owner", metavar="NAMESPACE/NAME", help="R2RRouter that it is for: marks --out, and the label set beside it, as used by it")
    add("--progress-port", metavar="PORT", type=int, default=0, help="serve GET /progress, the content of progress.json")
    add("--hash", metavar="HASH", default="", help="the step's, for /progress and the last words")
    add("--termination-log", metavar="FILE", type=Path, help="leave the outcome there, e.g. /dev/termination-log")
    add("--wandb", metavar="PROJECT", help="send each epoch to Weights & Biases")
    return parser


def main(argv: list[str]) -> int:
    asked = arguments().parse_args(argv)
    first = os.environ.get("RANK", "0") == "0"
    processes: Processes | None = None
    server: ThreadingHTTPServer | None = None
    words: dict[str, Any] | None = None
    try:
        for flag in ("processes", "threads", "memory_mib", "checkpoint_seconds"):
            if getattr(asked, flag) < 0:
                raise TrainerError("CONFIG_INVALID", f"--{flag.replace('_', '-')}", "is negative", "give a number from 0")
        config = read_config(asked)
        if "WORLD_SIZE" not in os.environ:
            count = asked.processes or (torch.cuda.device_count() if config.device in ("auto", "cuda") else 1)
            if count > 1:
                return start(count, argv)
        log = _wandb(asked.wandb, config) if first and asked.wandb else _nobody
        if asked.threads:
            torch.set_num_threads(asked.threads)
        processes = join(config.device)
        progress = Progress(asked.out if first else None, asked.hash)
        if first and asked.progress_port:
            server = serve(progress, asked.progress_port)
        for note in config.notes:
            progress.say(f"note: {note}")
        options = Options(
            asked.data,
            asked.out,
            asked.slm,
            asked.memory_mib,
            asked.checkpoint_seconds,
            asked.restart,
            asked.ids_per_split,
            asked.with_embedding,
            None if asked.owner is None else mark_name(asked.owner),
        )
        try:
            result = run(config, options, processes, progress, log)
        except (MemoryError, torch.cuda.OutOfMemoryError) as error:
            fix = "give it more memory, or set smaller training.params.batch_size, training.shuffle_rows, --memory-mib"
            raise TrainerError("MEMORY_EXHAUSTED", f"process {processes.rank}", f"ran out of memory ({error})", fix) from error
        if first:
            words = succeeded(asked.hash, result)
            keys = ("threshold", "recall", "positiveRate", "auc", "epochs", "bestEpoch", "seconds", "rowsPerSecond")
            print(json.dumps({"model": str(asked.out / result["model"]["file"]), **{key: result[key] for key in keys}}))
        return DONE
    except TrainerError as error:
        if first:
            words = failed(asked.hash, error)
            print(f"trainer: {error.code}: {error}", file=sys.stderr, flush=True)
        return MAY_PASS if error.retryable else WRONG
    except Interrupted:
        print("trainer: terminated; the state is saved, the same command goes on", file=sys.stderr, flush=True)
        return TERMINATED
    except Exception as error:
        words = failed(asked.hash, error)
        raise
    finally:
        if server is not None:
            server.shutdown()
            server.server_close()
        if first and words is not None and asked.termination_log is not None:
            write_last_words(asked.termination_log, words)
        if processes is not None:
            processes.leave()


def read_config(asked: argparse.Namespace) -> Config:
    """@raises TrainerError"""
    value: Any = {}
    if asked.config is not None:
        try:
            value = json.loads(asked.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            fix = "give a JSON file such as R2R's resource/default_training_config.json"
            raise TrainerError("CONFIG_INVALID", f"--config {asked.config}", f"cannot be read ({error})", fix) from error
    if not isinstance(value, dict):
        raise TrainerError("CONFIG_INVALID", f"--config {asked.config}", "is not a JSON object", "give R2R's training configuration")
    model = value.get("model")
    defaults = not (isinstance(model, dict) and "init_args" in model)
    settings = list(asked.set)
    if asked.hidden_dims is not None:
        settings.append(f"model.init_args.hidden_dims=[{asked.hidden_dims}]")
    if asked.seed is not None:
        settings.append(f"training.seed={asked.seed}")
    if asked.device is not None:
        settings.append(f"training.params.device={asked.device}")
    for setting in settings:
        override(value, setting)
    return parse_config(value, defaults)


def _nobody(record: dict[str, Any]) -> None:
    pass


def _wandb(project: str, config: Config) -> Callable[[dict[str, Any]], None]:
    if importlib.util.find_spec("wandb") is None:
        raise TrainerError("DEPENDENCY_MISSING", "--wandb", "the package wandb is not installed", "install it, or leave the flag out")
    import wandb

    wandb.init(project=project, config=config.as_dict(), resume="allow")
    return lambda record: wandb.log(record, step=record["epoch"])


if __name__ == "__main__":
    # the first process of a container ignores signals that it does not handle; while it trains, training.py saves the state first
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    sys.exit(main(sys.argv[1:]))
