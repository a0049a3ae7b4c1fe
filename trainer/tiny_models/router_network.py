"""The router network: does the token that the SLM drafted lead elsewhere than the LLM would go?

The architecture, the names of its weights and the file are those of R2R's default router
(`HiddenStatesTokenLMHeadLogitsClassifier`), so that whatever reads one of R2R's checkpoints reads this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

CLASS = "HiddenStatesTokenLMHeadLogitsClassifier"
INPUTS = ["hidden_states", "token", "logits"]
EMBEDDING = "token_embeddings.weight"  # the SLM's own; never saved


@dataclass(frozen=True)
class Widths:
    hidden: int  # the SLM's
    logits: int
    layers: tuple[int, ...]
    expansion: int
    dropout: float


class Block(nn.Module):
    def __init__(self, width: int, widened: int, out: int, dropout: float) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, widened), nn.GELU(), nn.Dropout(dropout), nn.Linear(widened, out), nn.Dropout(dropout)
        )
        self.dim_change = nn.Identity() if width == out else nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.dim_change(x) + self.mlp(self.layer_norm(x))


class Backbone(nn.Module):
    def __init__(self, widths: Widths) -> None:
        super().__init__()
        layers = widths.layers
        self.input_projection = nn.Linear(layers[0], layers[0])
        self.blocks = nn.ModuleList(
            Block(width, width * widths.expansion, out, widths.dropout)
            for width, out in zip(layers, (*layers[1:], layers[-1]), strict=True)
        )
        self.output_layer = nn.Sequential(nn.LayerNorm(layers[-1]), nn.Linear(layers[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.input_projection(x)
        for block in self.blocks:
            x = block(x)
        return self.output_layer(x)


class Network(nn.Module):
    def __init__(self, widths: Widths, embedding: Tensor) -> None:
        """`embedding` [vocabulary, hidden]: the SLM's input embedding, which stays as it is."""
        super().__init__()
        self.widths = widths
        self.token_embeddings = nn.Embedding.from_pretrained(embedding.clone(), freeze=True)
        self.logits_projection = nn.Linear(widths.logits, widths.hidden)
        self.combined_projection = nn.Linear(3 * widths.hidden, widths.layers[0])
        self.backbone = Backbone(widths)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, hidden: Tensor, token: Tensor, logits: Tensor) -> Tensor:
        """The log-odds [rows] of divergence, from the last hidden state [rows, hidden], the drafted token [rows] and
        the SLM's largest raw logits [rows, logits], descending."""
        seen = (hidden, self.token_embeddings(token), self.logits_projection(logits))
        return self.backbone(self.combined_projection(torch.cat(seen, -1)))[:, 0]

    @torch.inference_mode()
    def probability(self, hidden: Tensor, token: Tensor, logits: Tensor) -> Tensor:
        return self.eval()(hidden, token, logits).sigmoid()

    def parameter_count(self) -> int:
        """Without the embedding."""
        return sum(p.numel() for name, p in self.named_parameters() if name != EMBEDDING)


def save(path: Path, network: Network, threshold: float, slm: str) -> None:
    """Write an R2R checkpoint. `slm` is where a reader finds the SLM, whose embedding the network uses."""
    widths, weights = network.widths, network.state_dict()
    del weights[EMBEDDING]
    checkpoint = {
        "model_type": CLASS,
        "init_args": {
            "hidden_states_size": widths.hidden,
            "logits_size": widths.logits,
            "hidden_dims": list(widths.layers),
            "expansion_factor": widths.expansion,
            "dropout_rate": widths.dropout,
            "use_position_embedding": False,
            "freeze_lm_head": True,
            "normalize_input": False,
            "pretrained_model_name": slm,
        },
        "common_args": {"threshold": threshold, "input_type": INPUTS},
        "model_specific_args": {},
        "state_dict": weights,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, path)


def load(path: Path, embedding: Tensor) -> tuple[Network, float]:
    """The network of a file that `save` wrote, and its threshold."""
    checkpoint = torch.load(path)
    arguments = checkpoint["init_args"]
    widths = Widths(
        arguments["hidden_states_size"],
        arguments["logits_size"],
        tuple(arguments["hidden_dims"]),
        arguments["expansion_factor"],
        arguments["dropout_rate"],
    )
    network = Network(widths, embedding)
    network.load_state_dict({**checkpoint["state_dict"], EMBEDDING: embedding})
    return network.eval(), checkpoint["common_args"]["threshold"]
