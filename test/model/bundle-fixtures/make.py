"""Writes the router checkpoints of these tests with PyTorch (1.13 or newer): upstream's layout and names, random weights.

    python3 make.py            # writes *.pt beside this file

They are made for the example SLM (hidden size 64, 480 tokens), whose embedding `everything_all.pt` and `trained_all.pt` carry along.
"""

import json
import struct
from pathlib import Path

import torch

here = Path(__file__).parent
slm = here / "../../../examples/models/slm/model.safetensors"
hidden, logits, dims = 64, 20, [8, 8]


def slm_embedding() -> torch.Tensor:
    """`model.embed_tokens.weight`, bfloat16 widened to float32 as upstream's copy is."""
    data = slm.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    entry = json.loads(data[8 : 8 + length])["model.embed_tokens.weight"]
    start, end = entry["data_offsets"]
    bits = torch.frombuffer(bytearray(data[8 + length + start : 8 + length + end]), dtype=torch.int16)
    return (bits.to(torch.int32) << 16).view(torch.float32).reshape(entry["shape"]).clone()


def linear(name: str, outputs: int, inputs: int, scale: float = 1.0) -> dict:
    return {f"{name}.weight": torch.randn(outputs, inputs) * scale / inputs**0.5, f"{name}.bias": torch.randn(outputs) * 0.1}


def norm(name: str, size: int) -> dict:
    return {f"{name}.weight": 1 + 0.1 * torch.randn(size), f"{name}.bias": 0.1 * torch.randn(size)}


def weights(width: int) -> dict:
    """HiddenStatesTokenLMHeadLogitsClassifier with hidden states and embeddings of `width`."""
    state = {**linear("logits_projection", width, logits, 0.2), **linear("combined_projection", dims[0], 3 * width)}
    state |= linear("backbone.input_projection", dims[0], dims[0])
    for block, size in enumerate(dims):
        state |= norm(f"backbone.blocks.{block}.layer_norm", size)
        state |= linear(f"backbone.blocks.{block}.mlp.0", 4 * size, size) | linear(f"backbone.blocks.{block}.mlp.3", size, 4 * size)
    return state | norm("backbone.output_layer.0", dims[-1]) | linear("backbone.output_layer.1", 1, dims[-1])


def save(name: str, state: dict, threshold, width: int = hidden, pretrained: str = "tiny/slm") -> None:
    checkpoint = {
        "model_type": "HiddenStatesTokenLMHeadLogitsClassifier",
        "init_args": {
            "hidden_states_size": width,
            "logits_size": logits,
            "hidden_dims": dims,
            "expansion_factor": 4,
            "dropout_rate": 0.1,
            "use_position_embedding": False,
            "freeze_lm_head": True,
            "normalize_input": False,
            "pretrained_model_name": pretrained,
        },
        "common_args": {"threshold": threshold, "input_type": ["hidden_states", "token", "logits"]},
        "model_specific_args": {"recall": 0.95, "note": "random weights"},
        "state_dict": state,
    }
    torch.save(checkpoint, here / name)


torch.manual_seed(4)
embedding = slm_embedding()
state = weights(hidden)
save("tiny.pt", state, 0.35)
save("everything_all.pt", state | {"token_embeddings.weight": embedding}, 0.35)
save("trained_all.pt", state | {"token_embeddings.weight": embedding + 0.05 * torch.randn_like(embedding)}, 0.35)
save("no-threshold.pt", state, None)
save("wrong-threshold.pt", state, 35)
save("wide.pt", weights(128), 0.35, 128, "Qwen/Qwen3-0.6B")
