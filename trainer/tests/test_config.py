"""Upstream's configuration is understood, and each slip is named."""

from __future__ import annotations

import json

import pytest

from r2r_trainer.config import override, parse_config
from r2r_trainer.errors import TrainerError

UPSTREAM = {
    "model": {
        "model_type": "HiddenStatesTokenLMHeadLogitsClassifier",
        "init_args": {
            "hidden_states_size": 1536,
            "logits_size": 100,
            "hidden_dims": [1024] * 6,
            "expansion_factor": 4,
            "dropout_rate": 0.1,
            "use_position_embedding": False,
            "freeze_lm_head": True,
            "normalize_input": False,
            "pretrained_model_name": "org/slm",
        },
        "model_specific_args": {},
        "input_type": ["hidden_states", "token", "logits"],
        "output_type": "binary",
    },
    "data": {
        "train": {"path": ["local:train"], "type": "divergent", "input_prefix": "small_"},
        "test": {"path": ["local:test"], "type": "divergent", "input_prefix": "small_"},
    },
    "training": {
        "optimizer": {"lr": 5e-05, "weight_decay": 5e-04},
        "params": {"num_epochs": 50, "batch_size": 1024, "patience": 10, "device": "cuda"},
        "loss": {"type": "BCEWithLogitsLoss", "recall_factor": 1.0},
        "validation": {"valid_freq": 2},
        "dtype": "float32",
    },
    "optimizing": {"type": "threshold", "min_recall": 0.95},
    "output": {"output_dir": "out", "checkpoint_dir": "checkpoint", "model_name": None},
}


def test_nothing_given_is_the_papers_training():
    config = parse_config({}, defaults=True)
    assert (config.lr, config.weight_decay, config.batch_rows, config.epochs, config.patience) == (5e-5, 5e-4, 1024, 50, 10)
    assert config.init_args["dropout_rate"] == 0.1 and config.init_args["hidden_dims"] == [1024] * 6
    assert (config.loss, config.loss_args["recall_factor"], config.min_recall) == ("BCEWithLogitsLoss", 1.0, 0.95)


def test_upstreams_own_file_says_the_same():
    config, bare = parse_config(UPSTREAM), parse_config({}, defaults=True)
    for name in ("model_type", "lr", "weight_decay", "epochs", "batch_rows", "patience", "loss", "loss_args", "objective", "min_recall", "name"):
        assert getattr(config, name) == getattr(bare, name), name
    assert config.init_args == UPSTREAM["model"]["init_args"]
    assert config.splits["train"].paths == ("local:train",)
    assert config.validate_every == 1 and "valid_freq" in config.notes[0]


def test_the_argument_that_upstreams_qwen3_4b_file_has_too_many_is_left_out():
    value = json.loads(json.dumps(UPSTREAM))
    value["model"]["init_args"]["dtype"] = "float32"
    config = parse_config(value)
    assert "dtype" not in config.init_args and any("dtype" in note for note in config.notes)


def test_filters_and_processes():
    value = {"data": {"train": {"filter": ["is_mismatch", {"type": "filter_data_id_critical", "max_critical_ratio": 0.3}], "process": []}}}
    assert parse_config(value).splits["train"].filters == (
        ("is_mismatch", {}),
        ("filter_data_id_critical", {"max_critical_ratio": 0.3, "min_samples_per_data_id": 5}),
    )


def test_values_of_the_command_line():
    value: dict = {}
    override(value, "training.params.num_epochs=7")
    override(value, "model.model_type=LogitsClassifier")
    assert parse_config(value).epochs == 7 and parse_config(value).model_type == "LogitsClassifier"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.params.num_epoch=3", "training.params.num_epoch: is not a key that is known"),
        ("trainin.seed=3", "trainin: is not a key that is known"),
        ("training.params.batch_size=0", "training.params.batch_size: is 0; give a whole number from 1"),
        ("training.params.batch_size=1.5", "training.params.batch_size: is 1.5"),
        ("training.optimizer.lr=-1", "training.optimizer.lr: is -1; give a number above 0"),
        ('training.optimizer.lr="fast"', "training.optimizer.lr: is 'fast'"),
        ("training.loss.type=HingeLoss", "training.loss.type: 'HingeLoss' is not known; use one of BCEWithLogitsLoss"),
        ("training.loss.type=KLDivergenceLoss", "KLDivergenceLoss compares language models"),
        ("training.loss.type=CrossEntropyLoss", 'set model.output_type to "multiclass"'),
        ("model.output_type=multiclass", "BCEWithLogitsLoss tells two classes apart"),
        ("training.loss.alpha=0.2", "training.loss.alpha: is not a key that is known"),
        ("training.dtype=bfloat16", "training.dtype: networks are trained in float32"),
        ("model=[]", "model: is a list; give an object"),
        ("model.init_args.dtype=float16", "model.init_args.dtype"),
        ("optimizing.type=guess", "optimizing.type: 'guess' is not known"),
        ("optimizing.min_recall=95", "optimizing.min_recall: is 95"),
        ("data.test.test_size=1", "data.test.test_size: is 1"),
        ('data.train.filter=["odd"]', "data.train.filter[0]: filter 'odd' is not known"),
        ('data.train.process=["similarity_to_divergent"]', "data.train.process[0]"),
        ('data.train.path=[7]', "data.train.path: is a list; give a list of texts"),
        ("output.model_name=../x", "output.model_name: '../x' is no file name"),
        ("seed", "--set seed: is not KEY=VALUE"),
    ],
)
def test_slips(setting: str, message: str):
    with pytest.raises(TrainerError) as caught:
        value: dict = {}
        override(value, setting)
        parse_config(value)
    assert message in str(caught.value) and caught.value.code == "CONFIG_INVALID" and caught.value.fix


def test_a_focal_loss_that_forgets_a_class_is_pointed_out():
    assert "negative rows" in parse_config({"training": {"loss": {"type": "FocalLoss", "alpha": 1}}}).notes[0]
