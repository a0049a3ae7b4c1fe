"""Networks against checkpoints and outputs of upstream's own classes (test/model/router-network/golden), and against their names restated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from making import slm_folder
from r2r_trainer.checkpoint_file import write_checkpoint
from r2r_trainer.errors import TrainerError
from r2r_trainer.network_arguments import KINDS, parse_arguments
from r2r_trainer.networks import EMBEDDING, RouterNetwork
from r2r_trainer.slm import Slm

GOLDEN = Path(__file__).parents[2] / "test" / "model" / "router-network" / "golden"
CASES = sorted(each.name for each in GOLDEN.iterdir() if each.name != "token-with-lm-head")
HIDDEN, LOGITS = 24, 12


class GoldenSlm:
    """The SLM of a golden case, as far as is known of it: the embeddings of its rows, one after the other."""

    def __init__(self, rows: dict[str, torch.Tensor], vocabulary: int) -> None:
        self._rows, self._vocabulary = rows, vocabulary

    def embedding(self) -> torch.Tensor:
        return self._rows["embedding"].flatten(0, -2)

    def lm_head(self) -> torch.Tensor:
        return torch.zeros(self._vocabulary, HIDDEN)


def golden_rows(path: Path) -> dict[str, torch.Tensor]:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    found = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        begin, end = (8 + size + each for each in entry["data_offsets"])
        found[name] = torch.from_numpy(np.frombuffer(data[begin:end], "<f4").copy()).view(entry["shape"])
    return found


@pytest.mark.parametrize("case", CASES)
def test_upstreams_weights_load_strictly_and_give_upstreams_outputs(case: str):
    checkpoint = torch.load(GOLDEN / case / "router.pt")
    rows = golden_rows(GOLDEN / case / "model.safetensors")
    multiclass = rows["scores"].shape[-1] == 3
    given = {key: value for key, value in checkpoint["init_args"].items() if key != "pretrained_model_name"}
    arguments = parse_arguments(checkpoint["model_type"], given, HIDDEN, LOGITS, multiclass)
    own = checkpoint["state_dict"].pop(EMBEDDING, None)
    vocabulary = checkpoint["state_dict"]["lm_head.weight"].shape[0] if arguments.kind.lm_head else 0
    network = RouterNetwork(arguments, GoldenSlm(rows, vocabulary)).eval()
    state = {**checkpoint["state_dict"], **({EMBEDDING: network.token_embeddings.weight} if EMBEDDING in network.state_dict() else {})}
    assert own is None or own.shape[1] == network.token_embeddings.embedding_dim
    assert list(network.state_dict()) == [each for each in _ordered(network, state)]
    network.load_state_dict(state, strict=True)
    window, count = arguments.window, len(rows["scores"])
    with torch.no_grad():
        outputs = network(
            rows["hidden"].reshape(count, -1) if arguments.hidden else None,
            torch.arange(count * window).view(count, window)[:, -1] if "token" in arguments.kind.inputs else None,
            rows["logits"].reshape(count, window, -1)[..., : arguments.logits // window].flatten(1) if arguments.logits else None,
        )
    final = outputs.softmax(-1) if arguments.softmax else outputs
    assert torch.allclose(final, rows["scores"], rtol=1e-4, atol=1e-5)
    assert torch.allclose(network.probability(outputs), rows["probability"].flatten(), rtol=1e-4, atol=1e-5)


def _ordered(network: RouterNetwork, state: dict[str, torch.Tensor]) -> list[str]:
    """Upstream's order of names; the embedding, which its files lack, where the network has it."""
    names = [name for name in state if name != EMBEDDING]
    return [*names[: (at := list(network.state_dict()).index(EMBEDDING))], EMBEDDING, *names[at:]] if EMBEDDING in state else names


def restated(hidden: int, logits: int, embedding: tuple[int, int], widths: list[int], expansion: int) -> dict[str, tuple[int, ...]]:
    """The default class's weights, written down from upstream's source a second time."""
    names: dict[str, tuple[int, ...]] = {"token_embeddings.weight": embedding}

    def linear(name: str, inputs: int, outputs: int) -> None:
        names.update({f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)})

    def norm(name: str, width: int) -> None:
        names.update({f"{name}.weight": (width,), f"{name}.bias": (width,)})

    linear("logits_projection", logits, hidden)
    linear("combined_projection", hidden + embedding[1] + hidden, widths[0])
    linear("backbone.input_projection", widths[0], widths[0])
    for index, width in enumerate(widths):
        out = widths[min(index + 1, len(widths) - 1)]
        block = f"backbone.blocks.{index}"
        norm(f"{block}.layer_norm", width)
        linear(f"{block}.mlp.0", width, width * expansion)
        linear(f"{block}.mlp.3", width * expansion, out)
        if width != out:
            linear(f"{block}.dim_change", width, out)
    norm("backbone.output_layer.0", widths[-1])
    linear("backbone.output_layer.1", widths[-1], 1)
    return names


@pytest.mark.parametrize("frozen", (True, False))
def test_what_is_written_has_the_names_that_upstream_loads_strictly(tmp_path: Path, frozen: bool):
    given = {"hidden_dims": [8, 12], "expansion_factor": 2, "freeze_lm_head": frozen, "pretrained_model_name": "org/slm"}
    network = RouterNetwork(parse_arguments("HiddenStatesTokenLMHeadLogitsClassifier", given, 16, 12, False), Slm(slm_folder(tmp_path / "slm")))
    write_checkpoint(tmp_path / "router.pt", network, 0.25, None, {})
    checkpoint = torch.load(tmp_path / "router.pt")
    assert list(checkpoint) == ["model_type", "init_args", "common_args", "model_specific_args", "state_dict"]
    assert checkpoint["init_args"] == {**given, "hidden_states_size": 16, "logits_size": 12}
    assert checkpoint["common_args"] == {"threshold": 0.25, "input_type": ["hidden_states", "token", "logits"]}
    found = {name: tuple(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
    expected = restated(16, 12, (40, 16), [8, 12], 2)
    if frozen:
        del expected[EMBEDDING]
    assert found == expected


def test_the_papers_network_has_the_papers_size():
    given = {"hidden_dims": [1024] * 6, "freeze_lm_head": True}
    network = RouterNetwork(parse_arguments("HiddenStatesTokenLMHeadLogitsClassifier", given, 1536, 100, False), EmbeddingOnly())
    assert sum(each.numel() for each in network.trained_state().values()) == 56_302_081


class EmbeddingOnly:
    def embedding(self) -> torch.Tensor:
        return torch.zeros(2, 1536)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("Unknown", {}, "model.model_type: 'Unknown' is not known; use one of LogitsClassifier"),
        ("HiddenStatesTokenClassifierWithLMHead", {}, "upstream cannot create"),
        ("LogitsClassifier", {"topk": 3}, "model.init_args.topk: LogitsClassifier takes no such argument"),
        ("HiddenStatesClassifier", {"hidden_states_size": 2048}, "is 2048, the label set's hidden states have 16 values; set it to 16"),
        ("LogitsClassifier", {"logits_size": 100}, "model.init_args.logits_size: is 100, the label set has 12"),
        ("LogitsClassifier", {"hidden_dims": []}, "model.init_args.hidden_dims"),
        ("LogitsClassifier", {"hidden_dims": [7], "use_position_embedding": True}, "odd width"),
        ("LogitsClassifier", {"output_dim": 3}, "model.init_args.output_dim"),
        ("LogitsClassifier", {"dropout_rate": 1}, "model.init_args.dropout_rate"),
        ("MultiHiddenStatesClassifier", {"normalize_input": True}, "cannot normalise"),
        ("MultiLogitsClassifier", {"logits_size": 35}, "model.init_args.logits_size"),
    ],
)
def test_arguments_that_cannot_be(name: str, given: dict, message: str):
    with pytest.raises(TrainerError) as caught:
        parse_arguments(name, given, 16, 12, False)
    assert message in str(caught.value)


def test_every_class_of_upstreams_that_can_be_created_is_covered():
    covered = {torch.load(GOLDEN / case / "router.pt")["model_type"] for case in CASES}
    assert covered == set(KINDS)
