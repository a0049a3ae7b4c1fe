"""Writes a model as an ordinary Hugging Face folder, in bytes that depend on nothing but the weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from .model import EPSILON, ROPE_THETA, Qwen2, Shape
from .recipes import CONTEXT_LENGTH
from .tokenizer import save as save_tokenizer


def config(shape: Shape, tokenizer: Tokenizer) -> dict[str, object]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": CONTEXT_LENGTH,
        "max_window_layers": shape.layers,
        "model_type": "qwen2",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "pad_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "rms_norm_eps": EPSILON,
        "rope_scaling": None,
        "rope_theta": ROPE_THETA,
        "sliding_window": None,
        "tie_word_embeddings": shape.tied,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": shape.vocabulary,
    }


def generation_config(tokenizer: Tokenizer) -> dict[str, object]:
    return {
        "do_sample": False,
        "eos_token_id": [tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")],
        "pad_token_id": tokenizer.token_to_id("<|endoftext|>"),
    }


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def export(folder: Path, model: Qwen2, tokenizer: Tokenizer) -> None:
    save_tokenizer(folder, tokenizer, CONTEXT_LENGTH)
    write_json(folder / "config.json", config(model.shape, tokenizer))
    write_json(folder / "generation_config.json", generation_config(tokenizer))
    tensors = {
        name: tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if not (model.shape.tied and name == "lm_head.weight")
    }
    path = folder / "model.safetensors"
    save_file(tensors, str(path), metadata={"format": "pt"})
    path.chmod(0o644)  # it is written for the owner alone, and servers run as another user
