"""The Qwen2 architecture in a few lines of PyTorch, with Hugging Face's tensor names.

Grouped-query attention with biases on q, k and v, rotary positions, RMSNorm, SwiGLU. Weights train in float32 and are
published in bfloat16; every figure is measured on the rounded weights.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROPE_THETA = 10000.0
EPSILON = 1e-6


@dataclass(frozen=True)
class Shape:
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    def as_dict(self) -> dict[str, int | bool]:
        return asdict(self)


class RMSNorm(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * self.weight


def rotary(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """cos and sin, [batch, 1, time, head_dim]."""
    frequencies = ROPE_THETA ** (-torch.arange(0, head_dim, 2).float() / head_dim)
    angles = positions[:, None, :, None].float() * frequencies
    angles = torch.cat((angles, angles), -1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


Cache = list[tuple[Tensor, Tensor]]


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden, shape.hidden)
        self.k_proj = nn.Linear(shape.hidden, width)
        self.v_proj = nn.Linear(shape.hidden, width)
        self.o_proj = nn.Linear(shape.hidden, shape.hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor, past: tuple[Tensor, Tensor] | None):
        batch, time, _ = x.shape
        size, heads, groups = self.shape.head_dim, self.shape.heads, self.shape.kv_heads
        q = rotate(self.q_proj(x).view(batch, time, heads, size).transpose(1, 2), cos, sin)
        k = rotate(self.k_proj(x).view(batch, time, groups, size).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(batch, time, groups, size).transpose(1, 2)
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        present = (k, v)
        # The query heads of a group lie under each other in one matrix: fewer and larger products, no copies of k and v.
        rows = heads // groups * time
        q = q.reshape(batch * groups, rows, size) / math.sqrt(size)
        k, v = k.reshape(batch * groups, -1, size), v.reshape(batch * groups, -1, size)
        mixed = torch.baddbmm(bias, q, k.transpose(1, 2)).softmax(-1) @ v
        return self.o_proj(mixed.view(batch, heads, time, size).transpose(1, 2).reshape(batch, time, -1)), present


class MLP(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.down_proj = nn.Linear(shape.intermediate, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = MLP(shape)
        self.input_layernorm = RMSNorm(shape.hidden)
        self.post_attention_layernorm = RMSNorm(shape.hidden)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor, past: tuple[Tensor, Tensor] | None):
        mixed, present = self.self_attn(self.input_layernorm(x), cos, sin, bias, past)
        x = x + mixed
        return x + self.mlp(self.post_attention_layernorm(x)), present


class Body(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden)


class Qwen2(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Body(shape)
        self.lm_head = nn.Linear(shape.hidden, shape.vocabulary, bias=False)
        if shape.tied:
            self.lm_head.weight = self.model.embed_tokens.weight
        self._initialise()

    def _initialise(self) -> None:
        residual = 0.02 * 2 / math.sqrt(2 * self.shape.layers)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                scaled = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=residual if scaled else 0.04)

    def hidden(
        self, ids: Tensor, padding: Tensor | None = None, past: Cache | None = None
    ) -> tuple[Tensor, Cache]:
        """Last hidden states [batch, time, hidden] after the final norm, and the key/value cache.

        `padding` [batch, past + time] is 1 for real tokens; left padding is allowed. Without it positions count from 0
        and only the causal mask applies, which is right for padding on the right.
        """
        batch, time = ids.shape
        before = past[0][0].shape[2] if past else 0
        causal = torch.ones(time, before + time, dtype=torch.bool).tril(before)
        if padding is None:
            positions = torch.arange(before, before + time).expand(batch, time)
            allowed = causal[None, None]
        else:
            positions = (padding.cumsum(1) - 1).clamp(min=0)[:, before:]
            allowed = causal[None, None] & padding[:, None, None, :].bool()
        groups, repeat = self.shape.kv_heads, self.shape.heads // self.shape.kv_heads
        bias = torch.zeros(allowed.shape).masked_fill(~allowed, -1e9)  # [1 or batch, 1, time, before + time]
        if bias.shape[0] > 1:
            bias = bias.expand(batch, groups, time, -1).reshape(batch * groups, time, -1)
        bias = bias.view(-1, time, before + time).repeat(1, repeat, 1)
        cos, sin = rotary(positions, self.shape.head_dim)
        x = self.model.embed_tokens(ids)
        present: Cache = []
        for i, layer in enumerate(self.model.layers):
            x, kept = layer(x, cos, sin, bias, past[i] if past else None)
            present.append(kept)
        return self.model.norm(x), present

    def without_effect(self) -> dict[str, Tensor]:
        """These weights, but with layers that add nothing to what passes through them."""
        ends = ("o_proj.weight", "down_proj.weight")
        return {k: torch.zeros_like(v) if k.endswith(ends) else v for k, v in self.state_dict().items()}

    def rounded(self) -> "Qwen2":
        """A copy whose weights are those that are published: rounded to bfloat16, computed in float32."""
        copy = Qwen2(self.shape)
        copy.load_state_dict({k: v.bfloat16().float() for k, v in self.state_dict().items()})
        return copy.eval()

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())
