"""Golden data of the router networks: weights as upstream saves them, and what its own classes make of random rows.

    python3 trainer/golden/router_networks.py UPSTREAM_FOLDER test/model/router-network/golden

UPSTREAM_FOLDER is a checkout of thu-nics/R2R. Its `r2r/models/router.py` is run as it is, but for the imports it does not need here, the SLM it
would download (a tiny random one takes its place), and the line that keeps one class from being created. Needs PyTorch and NumPy only.
"""

import importlib.util
import json
import shutil
import sys
import types
from pathlib import Path

import torch

VOCABULARY = 48
HIDDEN = 24
LOGITS = 12
RECOVERY_ROWS = 5
ROWS = 6
NOT_CREATED = 'raise NotImplementedError("This model is not implemented yet")'

COMBINED = "HiddenStatesTokenLMHeadLogitsClassifier"
DIMS = {"hidden_dims": [16, 16], "expansion_factor": 2}
SIZES = {"hidden_states_size": HIDDEN, "logits_size": LOGITS}
WIDTHS = {"hidden_dims": [16, 24, 8], "expansion_factor": 2}
HIDDEN_ONLY = {"hidden_states_size": HIDDEN}
LOGITS_ONLY = {"logits_size": LOGITS}

CASES = {
    "combined": (COMBINED, {**SIZES, "hidden_dims": [16, 16]}),
    "combined-normalized": (COMBINED, {**SIZES, **DIMS, "normalize_input": True, "freeze_lm_head": True}),
    "combined-positions": (COMBINED, {**SIZES, **DIMS, "use_position_embedding": True, "max_position_embeddings": 8}),
    "combined-widths": (COMBINED, {**SIZES, **WIDTHS, "dropout_rate": 0.1, "topk": 7}),
    "combined-odd-widths": (COMBINED, {**SIZES, "hidden_dims": [10, 7, 13], "expansion_factor": 3, "logits_size": 3}),
    "logits": ("LogitsClassifier", {**LOGITS_ONLY, **DIMS}),
    "logits-normalized-three-outputs": ("LogitsClassifier", {**LOGITS_ONLY, **WIDTHS, "normalize_input": True, "output_dim": 3}),
    "hidden": ("HiddenStatesClassifier", {**HIDDEN_ONLY, **DIMS}),
    "hidden-normalized": ("HiddenStatesClassifier", {**HIDDEN_ONLY, **WIDTHS, "normalize_input": True, "output_dim": 3}),
    "lm-head": ("HiddenStatesClassifierWithLMHead", {**HIDDEN_ONLY, **DIMS}),
    "lm-head-top": ("HiddenStatesClassifierWithLMHead", {**HIDDEN_ONLY, **WIDTHS, "topk": 9, "normalize_input": True}),
    "token": ("HiddenStatesTokenLMHeadClassifier", {**HIDDEN_ONLY, **WIDTHS}),
    "token-normalized": ("HiddenStatesTokenLMHeadClassifier", {**HIDDEN_ONLY, **DIMS, "normalize_input": True}),
    "token-narrow-embedding": ("HiddenStatesTokenLMHeadClassifier", {**HIDDEN_ONLY, **DIMS}),
    "token-own-embedding": ("HiddenStatesTokenLMHeadClassifier", {**HIDDEN_ONLY, **DIMS}),
    "hidden-logits": ("HiddenStatesLogitsClassifier", {**SIZES, **DIMS}),
    "hidden-logits-normalized": ("HiddenStatesLogitsClassifier", {**SIZES, **WIDTHS, "normalize_input": True}),
    "token-with-lm-head": ("HiddenStatesTokenClassifierWithLMHead", {**HIDDEN_ONLY, **DIMS, "normalize_input": True}),
    "window-logits": ("MultiLogitsClassifier", {"logits_size": 3 * LOGITS, **DIMS}),
    "window-logits-normalized": (
        "MultiLogitsClassifier",
        {"logits_size": 2 * LOGITS, **DIMS, "neural_window_size": 2, "normalize_input": True, "use_position_embedding": True},
    ),
    "window-hidden": ("MultiHiddenStatesClassifier", {"hidden_states_size": 3 * HIDDEN, **WIDTHS, "output_dim": 3}),
    "three-classes-logits": ("MultiClassLogitsClassifier", {**LOGITS_ONLY, **DIMS, "normalize_input": True}),
    "three-classes-hidden": ("MultiClassHiddenStatesClassifier", {**HIDDEN_ONLY, **WIDTHS, "apply_softmax": False}),
    "three-classes-hidden-positions": (
        "MultiClassHiddenStatesClassifier",
        {**HIDDEN_ONLY, **DIMS, "normalize_input": True, "use_position_embedding": True},
    ),
    "three-classes-lm-head": ("MultiClassHiddenStatesClassifierWithLMHead", {**HIDDEN_ONLY, **DIMS, "apply_softmax": False}),
    "three-classes-lm-head-top": ("MultiClassHiddenStatesClassifierWithLMHead", {**HIDDEN_ONLY, **DIMS, "topk": 6}),
}
"""Case -> class and init arguments, as upstream's training passes them."""


class TinySlm:
    """What upstream's classes look at in a pretrained model: its input embedding and its LM head."""

    def __init__(self, embedding_size: int) -> None:
        self.embedding = torch.nn.Embedding(VOCABULARY, embedding_size)
        self.head = torch.nn.Linear(HIDDEN, VOCABULARY, bias=False)
        with torch.no_grad():
            for module in (self.embedding, self.head):
                module.weight.copy_(module.weight.normal_().bfloat16().float())

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.embedding

    def get_output_embeddings(self) -> torch.nn.Linear:
        return self.head

    def rows(self, count: int) -> dict[str, torch.Tensor]:
        """What a server would say of random hidden states: bfloat16 logits, and their best log-probabilities in float32."""
        hidden = (2 * torch.randn(count, HIDDEN)).bfloat16().float()
        logits = (hidden @ self.head.weight.T).bfloat16().float()
        best, ids = torch.log_softmax(logits, dim=-1).topk(LOGITS)
        token = ids[:, 0].clone()
        token[::2] = ids[::2, 1]
        return {
            "hidden": hidden,
            "token": token,
            "embedding": self.embedding.weight[token],
            "logits": logits.gather(1, ids),
            "logprobs": best,
            "lm_head": self.head.weight[ids[:, :RECOVERY_ROWS]],
        }


def load_upstream(folder: Path, slm: dict[str, TinySlm]) -> types.ModuleType:
    """Upstream's router.py as a module, beside stand-ins for what it imports and does not need here."""
    causal = types.SimpleNamespace(from_pretrained=lambda _: slm["current"])
    stubs = {
        "sklearn": {},
        "sklearn.metrics": {"confusion_matrix": None},
        "pandas": {},
        "transformers": {"AutoModelForCausalLM": causal},
    }
    for name, attributes in stubs.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(attributes)
    path = folder / "r2r" / "models" / "router.py"
    source = path.read_text()
    assert source.count(NOT_CREATED) == 1, f"{path} is not the version this was written for"
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("upstream_router", loader=None))
    exec(compile(source.replace(NOT_CREATED, "pass"), str(path), "exec"), module.__dict__)
    return module


def forward_of(upstream: types.ModuleType, name: str):
    """The forward pass of a class. The MultiClass ones have none, so theirs is that of the class without the prefix."""
    own = upstream.MODEL_REGISTRY[name]
    return (own if "forward" in own.__dict__ else upstream.MODEL_REGISTRY[name.removeprefix("MultiClass")]).forward


def randomize(model: torch.nn.Module) -> None:
    """Moves every parameter off its initial value, so that each zero bias and unit scale counts."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.split(".")[0] not in ("token_embeddings", "lm_head"):
                parameter.add_(0.1 * torch.randn_like(parameter))


def score(forward, model: torch.nn.Module, row: dict[str, torch.Tensor], arguments: tuple[str, ...]) -> torch.Tensor:
    """One row alone, as a router does it for one conversation; with position embeddings upstream's larger batches are no batches."""
    inputs = {"hidden": "hidden_states", "token": "token", "logits": "logits"}
    with torch.no_grad():
        return forward(model, **{inputs[name]: row[name] for name in arguments}).reshape(-1)


def probability(scores: torch.Tensor) -> torch.Tensor:
    """Upstream's rule (r2r/utils/switching.py)."""
    return torch.sigmoid(scores)[0] if scores.numel() == 1 else torch.softmax(scores, dim=0)[2]


def write_safetensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    header, data = {}, b""
    for name, tensor in tensors.items():
        values = tensor.detach().contiguous().float().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def make_case(upstream: types.ModuleType, slm: TinySlm, folder: Path, case: str, name: str, init_args: dict) -> None:
    model = upstream.create_classifier(name, **init_args).eval()
    randomize(model)
    arguments = tuple(
        argument
        for argument, part in (("hidden", "Hidden"), ("token", "Token"), ("logits", "Logits"))
        if part in name.replace("LMHeadLogits", "Logits")
    )
    window = init_args.get("neural_window_size", 3) if name.startswith("Multi") and not name.startswith("MultiClass") else 1
    rows = slm.rows(ROWS * window)
    # a window's rows lie side by side, the row to be judged last
    taken = {
        key: value.reshape(ROWS, -1) if key != "token" else value.reshape(ROWS, window)[:, -1]
        for key, value in rows.items()
        if key in arguments
    }
    if "logits" in taken and window == 1:
        taken["logits"] = taken["logits"][:, : init_args["logits_size"]]
    forward = forward_of(upstream, name)
    scores = torch.stack([score(forward, model, {key: value[i : i + 1] for key, value in taken.items()}, arguments) for i in range(ROWS)])

    folder.mkdir(parents=True)
    input_type = [{"hidden": "hidden_states"}.get(argument, argument) for argument in arguments]
    upstream.save_model(model, str(folder / "router.pt"), threshold=0.5, input_type=input_type)
    everything = folder / "router_all.pt"
    if case == "token-own-embedding":
        everything.replace(folder / "router.pt")
    else:
        everything.unlink()
    golden = {
        **{key: value.reshape(ROWS, *([window] if window > 1 else []), *value.shape[1:]) for key, value in rows.items() if key != "token"},
        "scores": scores,
        "probability": torch.stack([probability(row) for row in scores]),
    }
    write_safetensors(folder / "model.safetensors", golden)


def main() -> None:
    upstream_folder, output = (Path(argument) for argument in sys.argv[1:3])
    torch.manual_seed(1)
    current: dict[str, TinySlm] = {}
    upstream = load_upstream(upstream_folder, current)
    shutil.rmtree(output, ignore_errors=True)
    for case, (name, init_args) in CASES.items():
        current["current"] = TinySlm(20 if case == "token-narrow-embedding" else HIDDEN)
        make_case(upstream, current["current"], output / case, case, name, init_args)


main()
