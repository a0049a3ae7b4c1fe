"""Upstream's router networks, to be trained: the same weights under the same names, the same function of the inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config_section import wrong
from .network_arguments import PATH, Arguments
from .network_layers import Backbone
from .slm import Slm

EMBEDDING = "token_embeddings.weight"


class RouterNetwork(nn.Module):
    def __init__(self, arguments: Arguments, slm: Slm | None) -> None:
        """`slm`: needed by classes that look at the token or use the LM head."""
        super().__init__()
        self.arguments = arguments
        kind, hidden, first = arguments.kind, arguments.hidden, arguments.widths[0]
        if arguments.normalize and kind.combined:
            self.layer_norm_hidden_states = nn.LayerNorm(hidden)
            if "token" in kind.inputs:
                self.layer_norm_token = nn.LayerNorm(hidden)
        elif arguments.normalize and kind.inputs == ("hidden_states",):
            self.layer_norm = nn.LayerNorm(hidden)
        joined = hidden
        if "token" in kind.inputs:
            self.token_embeddings = nn.Embedding.from_pretrained(_needed(slm).embedding(), freeze=arguments.frozen)
            width = self.token_embeddings.embedding_dim
            if arguments.normalize and width != hidden:
                raise wrong(f"{PATH}.normalize_input", f"the SLM's embedding has {width} values, its hidden states {hidden}", "set false")
            joined += width
        if kind.combined:
            if "logits" in kind.inputs:
                self.logits_projection = nn.Linear(arguments.logits, hidden)
                joined += hidden
            self.combined_projection = nn.Linear(joined, first)
        elif kind.lm_head:
            self.lm_head = _lm_head(_needed(slm).lm_head(), hidden)
            if arguments.topk is not None and arguments.topk > self.lm_head.out_features:
                raise wrong(f"{PATH}.topk", f"the SLM has {self.lm_head.out_features} tokens", "give fewer")
            self.post_lm_projection = nn.Linear(arguments.topk or self.lm_head.out_features, first)
        elif kind.inputs == ("logits",):
            self.logits_projection = nn.Linear(arguments.logits, first)
        else:
            self.hidden_states_projection = nn.Linear(hidden, first)
        self.backbone = Backbone(
            arguments.widths,
            arguments.outputs,
            arguments.expansion,
            arguments.dropout,
            arguments.positions,
            kind.multiclass,
            arguments.softmax,
        )

    def forward(self, hidden: Tensor | None, token: Tensor | None, logits: Tensor | None) -> Tensor:
        """Log-odds, or what a softmax takes, [rows, outputs], of hidden states [rows, hidden], drafted tokens [rows] and the
        SLM's largest raw logits [rows, logits], descending. Of a window's rows side by side, the one to be judged is last."""
        return self.backbone(self._entry(hidden, token, logits))

    def _entry(self, hidden: Tensor | None, token: Tensor | None, logits: Tensor | None) -> Tensor:
        arguments = self.arguments
        normalize, kind = arguments.normalize, arguments.kind
        if normalize and logits is not None:
            rows = logits.reshape(len(logits), arguments.window, logits.shape[-1] // arguments.window)
            logits = rows.softmax(-1).reshape(len(logits), logits.shape[-1])
        if kind.combined:
            seen = [self.layer_norm_hidden_states(hidden) if normalize else hidden]
            if token is not None:
                embedded = self.token_embeddings(token)
                seen.append(self.layer_norm_token(embedded) if normalize else embedded)
            if logits is not None:
                seen.append(self.logits_projection(logits))
            return self.combined_projection(torch.cat(seen, -1))
        if kind.inputs == ("logits",):
            return self.logits_projection(logits)
        if normalize:
            hidden = self.layer_norm(hidden)
        if not kind.lm_head:
            return self.hidden_states_projection(hidden)
        said = self.lm_head(hidden)
        return self.post_lm_projection(said if arguments.topk is None else said.topk(arguments.topk).values)

    def probability(self, outputs: Tensor) -> Tensor:
        """Of divergence [rows], as upstream's router reads the network's outputs (r2r/utils/switching.py): of a network that ends in a
        softmax it takes the softmax once more."""
        if self.arguments.outputs == 1:
            return outputs[:, 0].sigmoid()
        return (outputs.softmax(-1) if self.arguments.softmax else outputs).softmax(-1)[:, 2]

    def trained_state(self) -> dict[str, Tensor]:
        """The weights without a frozen embedding, which is the SLM's."""
        state = self.state_dict()
        if self.arguments.frozen:
            state.pop(EMBEDDING, None)
        return state

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        missing, unexpected = self.load_state_dict(state, strict=False)
        assert not unexpected and set(missing) <= ({EMBEDDING} if self.arguments.frozen else set())


def _lm_head(weight: Tensor, hidden: int) -> nn.Linear:
    """With a bias, which upstream's has although the SLM's has none."""
    if weight.shape[1] != hidden:
        raise wrong(f"{PATH}.hidden_states_size", f"the SLM's LM head takes {weight.shape[1]} values, not {hidden}", "give this label set's SLM")
    head = nn.Linear(hidden, weight.shape[0])
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.zero_()
    return head


def _needed(slm: Slm | None) -> Slm:
    if slm is None:
        raise wrong("--slm", "this network class uses the SLM's own weights", "give the SLM's Hugging Face folder")
    return slm
