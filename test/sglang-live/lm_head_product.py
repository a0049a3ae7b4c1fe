"""Multiplies hidden states with an LM head as SGLang's logits processor does: in the model's bfloat16, one state at a time.

usage: lm_head_product.py MODEL.safetensors TENSOR HIDDEN LOGITS; HIDDEN and LOGITS are files of float32, a row a state.
"""
import sys

import numpy
import torch
from safetensors.torch import load_file

model, tensor, hidden_file, logits_file = sys.argv[1:]
lm_head = load_file(model)[tensor]
assert lm_head.dtype == torch.bfloat16, lm_head.dtype
hidden = torch.from_numpy(numpy.fromfile(hidden_file, dtype=numpy.float32)).reshape(-1, lm_head.shape[1])
# the states came from bfloat16, so this loses nothing
rows = [torch.matmul(row.to(torch.bfloat16)[None], lm_head.T) for row in hidden]
torch.cat(rows).to(torch.float32).numpy().tofile(logits_file)
