"""One tokenizer for all three models: Qwen2's byte-level BPE, with merges for the words of the task only.

256 bytes, 205 merges, five tags. A word of the task is one token with its leading space; digits never join; anything
else falls back to bytes, so every UTF-8 text can be encoded. Normaliser (NFC), split pattern and special tokens are
Qwen2's to the letter: transformers 5 rebuilds the tokenizer of a `qwen2` model from vocabulary and merges alone, so
anything else would load there as another tokenizer.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from . import task

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TAGS = ("<think>", "</think>")
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
VOCABULARY = 466  # with the five tags: the least for which every word of the task is one token
OTHER_TEXTS = (
    "system\nuser\n\nassistant You are a helpful assistant. 0 1 2 3 4 5 6 7 8 9",
    "Shared A B Do A and B differ in meaning? Answer 0 or 1.",
)

# Qwen3's rules, short: thinking is on unless enable_thinking is false, then an empty block is written for the model;
# the reasoning of earlier answers is left out.
CHAT_TEMPLATE = """\
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == 'assistant' and '</think>' in content and not loop.last %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""


def words() -> list[str]:
    splitter = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    found: set[str] = set()
    for text in (*task.every_text(), *OTHER_TEXTS):
        found.update(piece for piece, _ in splitter.pre_tokenize_str(text))
    return sorted(w for w in found if len(w) > 1 and (w.strip().isalpha() or w in (" *", " +", " -", " =", "\n\n")))


def build() -> Tokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = byte_level  # each text is one word here; Qwen2's split comes after
    tokenizer.train_from_iterator(
        words(),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY - len(SPECIAL) - len(TAGS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    split = [word for word in words() if len(tokenizer.encode(word).ids) > 1]
    if split:
        raise ValueError(f"VOCABULARY is too small: not one token: {split}")
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"), byte_level]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    # As in Qwen3, the think tags are added but not special: they stay in decoded text, where a reader looks for them.
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in TAGS])
    return tokenizer


def tokenizer_config(tokenizer: Tokenizer, context_length: int) -> dict[str, object]:
    added = {
        str(tokenizer.token_to_id(t)): {
            "content": t,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": t in SPECIAL,
        }
        for t in (*SPECIAL, *TAGS)
    }
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": context_length,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def save(folder: Path, tokenizer: Tokenizer, context_length: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    text = json.dumps(tokenizer_config(tokenizer, context_length), indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")


def prompt(content: str, system: str | None = None, thinking: bool = True) -> str:
    """What CHAT_TEMPLATE renders for one question."""
    head = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    tail = "" if thinking else "<think>\n\n</think>\n\n"
    return f"{head}<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n{tail}"
