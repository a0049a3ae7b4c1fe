"""Upstream's network classes: what each looks at, and its init arguments, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .config_section import Section, wrong

PATH = "model.init_args"
COMMON = {"hidden_dims", "expansion_factor", "dropout_rate", "use_position_embedding", "max_position_embeddings", "normalize_input"}


@dataclass(frozen=True)
class Kind:
    inputs: tuple[str, ...]  # of hidden_states, token, logits
    takes: frozenset[str]  # init arguments beside COMMON
    lm_head: bool = False
    windowed: bool = False
    multiclass: bool = False

    @property
    def combined(self) -> bool:
        return len(self.inputs) > 1


def _kind(inputs: str, takes: str, **more: bool) -> Kind:
    return Kind(tuple(inputs.split()), frozenset(takes.split()), **more)


H, L = "hidden_states", "logits"
KINDS = {
    "LogitsClassifier": _kind(L, "logits_size output_dim"),
    "HiddenStatesClassifier": _kind(H, "hidden_states_size output_dim"),
    "HiddenStatesClassifierWithLMHead": _kind(H, "hidden_states_size output_dim pretrained_model_name topk", lm_head=True),
    "HiddenStatesTokenLMHeadClassifier": _kind(f"{H} token", "hidden_states_size pretrained_model_name topk freeze_lm_head"),
    "HiddenStatesTokenLMHeadLogitsClassifier": _kind(
        f"{H} token {L}", "hidden_states_size logits_size pretrained_model_name topk freeze_lm_head"
    ),
    "HiddenStatesLogitsClassifier": _kind(f"{H} {L}", "hidden_states_size logits_size freeze_lm_head"),
    "MultiLogitsClassifier": _kind(L, "logits_size output_dim neural_window_size", windowed=True),
    "MultiHiddenStatesClassifier": _kind(H, "hidden_states_size output_dim neural_window_size", windowed=True),
    "MultiClassLogitsClassifier": _kind(L, "logits_size num_classes apply_softmax", multiclass=True),
    "MultiClassHiddenStatesClassifier": _kind(H, "hidden_states_size num_classes apply_softmax", multiclass=True),
    "MultiClassHiddenStatesClassifierWithLMHead": _kind(
        H, "hidden_states_size num_classes apply_softmax pretrained_model_name topk", lm_head=True, multiclass=True
    ),
}
NEVER_CREATED = "HiddenStatesTokenClassifierWithLMHead"


@dataclass(frozen=True)
class Arguments:
    name: str
    kind: Kind
    given: dict[str, Any]  # as they are saved
    hidden: int  # of the whole window; 0: not looked at
    logits: int  # of the whole window; 0: not looked at
    window: int
    widths: list[int]
    expansion: int
    dropout: float
    positions: int
    normalize: bool
    outputs: int
    softmax: bool
    topk: int | None
    frozen: bool

    @property
    def divergent(self) -> int:
        """The class that is to be routed to the LLM."""
        return 1 if self.outputs == 1 else 2


def parse_arguments(name: str, given: dict[str, Any], hidden: int, logits: int, multiclass: bool) -> Arguments:
    """`hidden`, `logits`: the widths of a label set's rows, which stand in for sizes that were left out. @raises TrainerError"""
    kind_name = next((each for each in KINDS if each.lower() == name.lower()), None)
    if kind_name is None:
        fix = f"use one of {', '.join(KINDS)}"
        if name == NEVER_CREATED:
            raise wrong("model.model_type", f"upstream cannot create {name}", "HiddenStatesTokenLMHeadClassifier computes the same")
        raise wrong("model.model_type", f"{name!r} is not known", fix)
    kind = KINDS[kind_name]
    section = Section(PATH, given)
    for key in given:
        if key not in COMMON | kind.takes:
            raise wrong(f"{PATH}.{key}", f"{kind_name} takes no such argument", "remove it")
    window = section.whole("neural_window_size", 3) if kind.windowed else 1
    filled, sizes = dict(given), {"hidden_states_size": 0, "logits_size": 0}
    for key, width in (("hidden_states_size", hidden), ("logits_size", logits)):
        if key in kind.takes:
            filled[key] = sizes[key] = section.whole(key, width * window)
    _fit(sizes["hidden_states_size"], sizes["logits_size"], window, hidden, logits)
    widths = section.value.get("hidden_dims", [256, 512, 256])
    if not isinstance(widths, list) or not widths or not all(type(each) is int and each > 0 for each in widths):
        raise wrong(f"{PATH}.hidden_dims", f"is {widths!r}", "give a list of widths, such as [256, 256]")
    outputs = section.whole("num_classes", 3) if kind.multiclass else section.whole("output_dim", 1) if "output_dim" in kind.takes else 1
    if outputs != (3 if multiclass else 1):
        key = "num_classes" if kind.multiclass else "output_dim"
        expected = 'three outputs (match, neutral, divergent) go with model.output_type "multiclass", one with "binary"'
        raise wrong(f"{PATH}.{key}", f"{kind_name} has {outputs}", expected)
    positions = section.whole("max_position_embeddings", 1024) if section.flag("use_position_embedding", False) else 0
    if positions and widths[0] % 2:
        raise wrong(f"{PATH}.hidden_dims", "begins with an odd width", "give an even one, or no use_position_embedding")
    normalize = section.flag("normalize_input", False)
    if normalize and kind_name == "MultiHiddenStatesClassifier":
        raise wrong(f"{PATH}.normalize_input", f"{kind_name} cannot normalise upstream", "leave it out")
    topk = section.whole("topk", 0, least=0) or None
    return Arguments(
        name=kind_name,
        kind=kind,
        given=filled,
        hidden=sizes["hidden_states_size"],
        logits=sizes["logits_size"],
        window=window,
        widths=widths,
        expansion=section.whole("expansion_factor", 4),
        dropout=section.number("dropout_rate", 0.3, above=-1e-12, below=1),
        positions=positions,
        normalize=normalize,
        outputs=outputs,
        softmax=kind.multiclass and section.flag("apply_softmax", True),
        topk=topk if kind.lm_head else None,
        frozen=section.flag("freeze_lm_head", False),
    )


def _fit(hidden_size: int, logits_size: int, window: int, hidden: int, logits: int) -> None:
    if hidden_size and hidden_size != hidden * window:
        fix = f"set it to {hidden * window}, or leave it out"
        raise wrong(f"{PATH}.hidden_states_size", f"is {hidden_size}, the label set's hidden states have {hidden} values", fix)
    if logits_size and (logits_size % window or logits_size // window > logits):
        raise wrong(f"{PATH}.logits_size", f"is {logits_size}, the label set has {logits} logits a row", f"set it to {logits * window}")
