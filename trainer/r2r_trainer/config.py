"""The configuration: upstream's training JSON (resource/default_training_config.json), with the paper's values as defaults.

Keys of our own are `training.seed`, `training.shuffle_rows`, `training.params.device` "auto", `data.validation` and
`optimizing.grid`. An unknown key is refused, so that a slip of the pen does not train something else.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from .config_section import Section, wrong
from .errors import TrainerError
from .network_arguments import COMMON, KINDS

LOSSES = {
    "BCEWithLogitsLoss": {"recall_factor": 1.0, "pos_weight": None},
    "FocalLoss": {"alpha": 0.5, "gamma": 2.0},
    "DPOLoss": {"beta": 1.0, "positive_prob": 0.5},
    "CrossEntropyLoss": {"recall_factor": 1.0},
}
FILTERS = {
    "filter_data_id_critical": {"max_critical_ratio": 0.5, "min_samples_per_data_id": 5},
    "is_mismatch": {},
    "has_divergent": {},
    "downsample_match_data": {"align": "mismatch"},
}
METRICS = ("f1", "accuracy", "recall", "precision")
SPLITS = ("train", "validation", "test")
PAPER_INIT_ARGS = {
    "logits_size": 100,
    "hidden_dims": [1024] * 6,
    "expansion_factor": 4,
    "dropout_rate": 0.1,
    "use_position_embedding": False,
    "freeze_lm_head": True,
    "normalize_input": False,
}
"""Where a configuration has no `model.init_args`, as far as its class takes them."""


@dataclass(frozen=True)
class Split:
    paths: tuple[str, ...] = ()
    filters: tuple[tuple[str, dict[str, Any]], ...] = ()
    label_column: str = "divergent"
    input_prefix: str = "small_"


@dataclass(frozen=True)
class Config:
    model_type: str
    init_args: dict[str, Any]
    model_specific_args: dict[str, Any]
    input_type: list[str] | None  # as upstream's checkpoints name the inputs; None: those of the class
    multiclass: bool
    splits: dict[str, Split]
    held_out_share: float  # of the questions, where the label set has no split of its own
    split_seed: int
    lr: float
    weight_decay: float
    epochs: int
    batch_rows: int  # of all processes together
    patience: int
    validate_every: int  # epochs
    device: str
    seed: int
    shuffle_rows: int
    loss: str
    loss_args: dict[str, Any]
    objective: str  # how the threshold is chosen: recall, skip, or one of METRICS
    min_recall: float
    grid: int  # candidates, evenly from 0.01 to 0.99; 0: every threshold there is
    name: str
    notes: tuple[str, ...] = field(default=(), compare=False)

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "notes"}


def parse_config(value: Any, defaults: bool = False) -> Config:
    """`defaults`: fill init arguments up with the paper's; otherwise what is left out is as upstream's class has it.
    @raises TrainerError naming the key"""
    top = Section("", value)
    notes: list[str] = []
    parsed = {**_model(top, notes, defaults), **_data(top), **_training(top, notes), **_optimizing(top), **_output(top)}
    top.finish()
    if parsed["loss"] == "CrossEntropyLoss" and not parsed["multiclass"]:
        raise wrong("training.loss.type", "CrossEntropyLoss tells three classes apart", 'set model.output_type to "multiclass"')
    if parsed["loss"] != "CrossEntropyLoss" and parsed["multiclass"]:
        raise wrong("training.loss.type", f"{parsed['loss']} tells two classes apart", 'use CrossEntropyLoss, or output_type "binary"')
    if parsed["multiclass"] and parsed["splits"]["train"].label_column != "divergent":
        raise wrong("data.train.label_column", "the three classes come from mismatch and divergent", "leave it out")
    return Config(**parsed, notes=tuple(notes))


def override(value: Any, assignment: str) -> None:
    """Sets what `model.init_args.hidden_dims=[64,64]` says, in place. What is no JSON is taken as text."""
    path, equals, text = assignment.partition("=")
    if not equals or not all(path.split(".")):
        raise TrainerError("CONFIG_INVALID", f"--set {assignment}", "is not KEY=VALUE", "write e.g. --set training.params.num_epochs=5")
    *above, last = path.split(".")
    for key in above:
        value = value.setdefault(key, {})
        if not isinstance(value, dict):
            raise TrainerError("CONFIG_INVALID", f"--set {assignment}", f"{key} is no object", "name a key inside one")
    try:
        value[last] = json.loads(text)
    except ValueError:
        value[last] = text


def _model(top: Section, notes: list[str], defaults: bool) -> dict[str, Any]:
    model = top.section("model")
    name, init = model.text("model_type", "HiddenStatesTokenLMHeadLogitsClassifier"), model.section("init_args")
    taken = COMMON | (KINDS[name].takes if name in KINDS else frozenset())
    arguments = {**{key: value for key, value in PAPER_INIT_ARGS.items() if defaults and key in taken}, **init.value}
    if arguments.pop("dtype", "float32") not in ("float32", "float"):
        raise wrong("model.init_args.dtype", "networks are trained and saved in float32", "leave it out")
    if "dtype" in init.value:
        notes.append("model.init_args.dtype is left out: upstream's classes take none and would not load the checkpoint")
    output = model.choice("output_type", ("binary", "multiclass"), "binary")
    inputs = model.texts("input_type", None)
    parsed = {
        "model_type": name,
        "init_args": arguments,
        "model_specific_args": dict(model.section("model_specific_args").value),
        "input_type": inputs,
        "multiclass": output == "multiclass",
    }
    model.finish()
    return parsed


def _data(top: Section) -> dict[str, Any]:
    data = top.section("data")
    splits, share, seed = {}, 0.2, 42
    for name in SPLITS:
        part = data.section(name)
        part.text("type", "divergent")
        if name == "test":
            part.flag("split_test_from_train", False)
            share = part.number("test_size", 0.2, above=0, below=1)
            seed = part.whole("random_seed", 42, least=0)
        for number, step in enumerate(part.objects("process")):
            _process(f"data.{name}.process[{number}]", step)
        splits[name] = Split(
            tuple(part.texts("path", [])),
            tuple(_filter(f"data.{name}.filter[{number}]", each) for number, each in enumerate(part.objects("filter"))),
            part.text("label_column", "divergent"),
            part.text("input_prefix", "small_"),
        )
        part.finish()
    if {split.input_prefix for split in splits.values() if split.paths} - {splits["train"].input_prefix}:
        raise wrong("data.test.input_prefix", "differs from data.train.input_prefix", "score what was trained on")
    data.finish()
    return {"splits": splits, "held_out_share": share, "split_seed": seed}


def _process(path: str, step: dict[str, Any]) -> None:
    kind = step.get("type")
    if kind != "mismatch_divergent_to_type":
        raise wrong(path, f"type {kind!r} is not known", "label by divergence, and leave it out (mismatch_divergent_to_type is accepted)")


def _filter(path: str, value: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    kind = value.get("type", value.get("name"))
    if kind not in FILTERS:
        raise wrong(path, f"filter {kind!r} is not known", f"use one of {', '.join(FILTERS)}")
    given = {**{k: v for k, v in value.items() if k not in ("type", "name", "params")}, **value.get("params", {})}
    section, arguments = Section(path, given), {}
    for name, default in FILTERS[kind].items():
        if isinstance(default, str):
            arguments[name] = section.choice(name, ("mismatch", "divergent"), default)
        elif isinstance(default, int):
            arguments[name] = section.whole(name, default, least=0)
        else:
            arguments[name] = section.number(name, default, above=-1e-12, below=1 + 1e-12)
    section.finish()
    return kind, arguments


def _training(top: Section, notes: list[str]) -> dict[str, Any]:
    training = top.section("training")
    optimizer, params, loss = (training.section(name) for name in ("optimizer", "params", "loss"))
    validation = training.section("validation")
    if "valid_freq" in validation.value:
        notes.append("training.validation.valid_freq does nothing upstream either; training.params.valid_freq is read")
        validation.whole("valid_freq", 1)
    if training.text("dtype", "float32") not in ("float32", "fp32"):
        raise wrong("training.dtype", "networks are trained in float32", "leave it out")
    parsed = {
        "lr": optimizer.number("lr", 5e-5, above=0),
        "weight_decay": optimizer.number("weight_decay", 5e-4, above=-1e-12),
        "epochs": params.whole("num_epochs", 50),
        "batch_rows": params.whole("batch_size", 1024),
        "patience": params.whole("patience", 10),
        "validate_every": params.whole("valid_freq", 1),
        "device": params.text("device", "auto"),
        "seed": training.whole("seed", 0, least=0),
        "shuffle_rows": training.whole("shuffle_rows", 131_072),
        **_loss(loss, notes),
    }
    for section in (optimizer, params, validation, loss, training):
        section.finish()
    return parsed


def _loss(loss: Section, notes: list[str]) -> dict[str, Any]:
    if loss.value.get("type") == "KLDivergenceLoss":
        raise wrong("training.loss.type", "KLDivergenceLoss compares language models, not labels", f"use one of {', '.join(LOSSES)}")
    kind = loss.choice("type", tuple(LOSSES), "BCEWithLogitsLoss")
    loss.text("label_column", "divergent")
    arguments: dict[str, Any] = {}
    for name, default in LOSSES[kind].items():
        if name in ("alpha", "positive_prob"):
            arguments[name] = loss.number(name, default, above=-1e-12 if name == "alpha" else 0, below=1 + 1e-12 if name == "alpha" else 1)
        else:
            arguments[name] = loss.optional_number(name, default, above=-1e-12 if name == "gamma" else 0)
    if arguments.get("alpha") in (0, 1):
        rows = "positive" if arguments["alpha"] == 0 else "negative"
        notes.append(f"training.loss.alpha {arguments['alpha']} gives {rows} rows no weight at all")
    return {"loss": kind, "loss_args": arguments}


def _optimizing(top: Section) -> dict[str, Any]:
    optimizing = top.section("optimizing")
    kind = optimizing.choice("type", ("threshold", "objective", "skip"), "threshold")
    metric = optimizing.choice("metric", METRICS, "f1")
    parsed = {
        "objective": {"threshold": "recall", "objective": f"objective-{metric}", "skip": "skip"}[kind],
        "min_recall": optimizing.number("min_recall", 0.95, above=-1e-12, below=1 + 1e-12),
        "grid": optimizing.whole("grid", 0, least=0),
    }
    optimizing.finish()
    return parsed


def _output(top: Section) -> dict[str, Any]:
    output = top.section("output")
    name = output.text("model_name", "router")
    for folder in ("output_dir", "checkpoint_dir"):  # --out is where everything is written
        output.optional_text(folder)
    if "/" in name or name.startswith("."):
        raise wrong("output.model_name", f"{name!r} is no file name", "give a name without folders")
    output.finish()
    return {"name": name.removesuffix(".pt")}
