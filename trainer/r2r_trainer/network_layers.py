"""What upstream's networks are made of (r2r/models/router.py). Names and their order are those of its weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, width: int, out: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, width * expansion),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width * expansion, out),
            nn.Dropout(dropout),
        )
        self.dim_change = nn.Identity() if width == out else nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.dim_change(x) + self.mlp(self.layer_norm(x))


class Backbone(nn.Module):
    """`positions`: rows of the table of positions, 0 for none. A router judges one token at a time, so only the first is used."""

    def __init__(
        self, widths: list[int], outputs: int, expansion: int, dropout: float, positions: int, multiclass: bool, softmax: bool
    ) -> None:
        super().__init__()
        if positions:
            self.register_buffer("position_embedding", sinusoids(positions, widths[0]))
        projection = nn.Linear(widths[0], widths[0])
        if multiclass:
            self.input_projection = projection
        self.blocks = nn.ModuleList(
            Block(width, out, expansion, dropout) for width, out in zip(widths, [*widths[1:], widths[-1]], strict=True)
        )
        self.input_projection = projection
        last = [nn.LayerNorm(widths[-1]), nn.Linear(widths[-1], outputs)]
        self.output_layer = nn.Sequential(*last, *([nn.Softmax(dim=-1)] if softmax else []))
        if not multiclass:  # upstream leaves the others as PyTorch makes them
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    nn.init.kaiming_normal_(module.weight)
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Log-odds, or what a softmax takes, [rows, outputs]; a softmax of the network's own is left to the caller."""
        x = self.input_projection(x)
        if hasattr(self, "position_embedding"):
            x = x + self.position_embedding[0]
        for block in self.blocks:
            x = block(x)
        return self.output_layer[:2](x)


def sinusoids(positions: int, width: int) -> Tensor:
    angles = torch.arange(positions).float()[:, None] * torch.exp(torch.arange(0, width, 2).float() * (-math.log(10000.0) / width))
    return torch.stack((angles.sin(), angles.cos()), -1).reshape(positions, width)
