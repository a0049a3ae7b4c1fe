"""Writes the golden checkpoints of this folder's tests, with what torch itself says is in them.

  python fixtures.py fixtures/torch-1   # with torch 1.x
  python fixtures.py fixtures/torch-2   # with torch 2.x

Every file comes from the real torch.save (or torch.jit.save). `expected.json` holds the values: tensors as float32, base64, by torch's own
conversion; format it with prettier. The files are committed, so that the tests need no torch.
"""

import base64
import copy
import io
import json
import os
import sys
from collections import OrderedDict

import numpy
import torch
from torch import nn

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
torch.manual_seed(7)
expected = {}


def plain(value):
    """What the reader makes of an argument: JSON; tensors are left out of dicts and null in lists."""
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items() if not isinstance(v, torch.Tensor)}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, torch.Tensor):
        return None
    if isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return {"float": str(value)}
    return value


def expect(name, checkpoint):
    expected[name] = {
        "modelType": checkpoint["model_type"],
        "initArgs": plain(checkpoint["init_args"]),
        "commonArgs": plain(checkpoint["common_args"]),
        "modelSpecificArgs": plain(checkpoint["model_specific_args"]),
        "tensors": {
            key: {
                "shape": list(tensor.shape),
                "type": str(tensor.dtype).removeprefix("torch."),
                "float32": base64.b64encode(tensor.detach().to(torch.float32).contiguous().numpy().tobytes()).decode(),
            }
            for key, tensor in checkpoint["state_dict"].items()
        },
    }


def save(name, checkpoint, **options):
    torch.save(checkpoint, os.path.join(folder, name), **options)
    expect(name, checkpoint)


def checkpoint_of(state_dict, init_args=None, common_args=None, **model_specific_args):
    return {
        "model_type": "LogitsClassifier",
        "init_args": init_args if init_args is not None else {},
        "common_args": common_args if common_args is not None else {"threshold": None, "input_type": None},
        "model_specific_args": model_specific_args,
        "state_dict": state_dict,
    }


class Router(nn.Module):
    """A small network with an embedding of its own, as the published ones have."""

    def __init__(self):
        super().__init__()
        self.token_embeddings = nn.Embedding(11, 6)
        self.logits_projection = nn.Linear(5, 4)
        self.normalization = nn.BatchNorm1d(4)
        self.head = nn.Sequential(nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 1))

    def forward(self, logits):
        return self.head(self.normalization(self.logits_projection(logits)))


def routers():
    model = Router()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=5e-4)
    for _ in range(2):
        model(torch.randn(8, 5)).sum().backward()
        optimizer.step()
    checkpoint = checkpoint_of(
        model.state_dict(),
        {"hidden_states_size": 6, "hidden_dims": [4, 4], "dropout_rate": 0.1, "normalize_input": False, "pretrained_model_name": "some/model"},
        {"threshold": 0.4375, "input_type": ["hidden_states", "token", "logits"]},
    )
    checkpoint["model_type"] = "HiddenStatesTokenLMHeadLogitsClassifier"
    # the epoch's checkpoint: with the embedding, the optimizer and metrics that NumPy computed
    epoch = dict(checkpoint)
    epoch["model_specific_args"] = {
        "epoch": 2,
        "optimizer_state_dict": copy.deepcopy(optimizer.state_dict()),
        "val_metrics": {"val_loss": 0.25, "val_f1": numpy.float64(0.7), "val_pos_rate": numpy.float32(12.5)},
    }
    save("router_all.pt", epoch)
    for protocol in (3, 4, 5):
        save(f"protocol-{protocol}.pt", epoch, pickle_protocol=protocol)
    del checkpoint["state_dict"]["token_embeddings.weight"]
    save("router.pt", checkpoint)
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    with open(os.path.join(folder, "buffer.pt"), "wb") as file:
        file.write(buffer.getvalue())
    expect("buffer.pt", checkpoint)
    return model, checkpoint


def types():
    values = [0.0, -0.0, 1.0, -2.5, 65504.0, 1e-7, 6e-8, 3.0e38, float("inf"), float("-inf"), float("nan"), 0.1]
    tensors = {
        str(dtype).removeprefix("torch."): torch.tensor(values, dtype=torch.float64).to(dtype)
        for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64)
    }
    tensors["int64"] = torch.tensor([0, 1, -1, 2**31, -(2**40) - 1, 2**53 - 1])
    tensors["int32"] = torch.tensor([0, 7, -7, 2**31 - 1, -(2**31)], dtype=torch.int32)
    tensors["bool"] = torch.tensor([[True, False], [False, True]])
    save("types.pt", checkpoint_of(tensors))


def views():
    base = torch.arange(60, dtype=torch.float32)
    half = torch.arange(24, dtype=torch.float16).reshape(2, 3, 4)
    tensors = OrderedDict(
        whole=base.reshape(3, 4, 5),
        transposed=base.reshape(12, 5).t(),
        permuted=base.reshape(3, 4, 5).permute(2, 0, 1),
        strided=base[3:50:7],
        columns=base.reshape(12, 5)[:, 1:3],
        tail=base[40:],
        diagonal=base[:49].reshape(7, 7).diagonal(),
        scalar=base[17],
        one_axis=base[5:6].reshape(1, 1),
        unit_axes=base.reshape(12, 5)[:, 2:3].unsqueeze(0),
        empty=torch.empty(0),
        empty_of_full=base[60:],
        empty_axes=torch.empty(3, 0, 2),
        half_permuted=half.permute(1, 2, 0),
        parameter=nn.Parameter(base[:6].reshape(2, 3)),
        frozen=nn.Parameter(half, requires_grad=False),
    )
    save("views.pt", checkpoint_of(tensors))


def arguments():
    shared = [1, 2]
    init_args = {
        "dtype": torch.bfloat16,
        "size": torch.Size([3, 4]),
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "integers": [0, -1, 255, 256, 65535, 65536, -(2**31), 2**31, 2**40, -(2**53) + 1],
        "floats": [0.5, -1e300, float("inf"), float("nan")],
        "text": "naïve 模型 \U0001f600\n",
        "none": None,
        "flags": [True, False],
        "shared": [shared, shared],
        "nested": {"a": {"b": OrderedDict(c=[])}, "": {}},
        "numbers": {1: "one", -2: "minus two"},
        "many": list(range(300)),
    }
    common_args = {
        "threshold": numpy.float64(0.123456789),
        "input_type": [numpy.float32(0.5), numpy.int64(-(2**40)), numpy.int32(7), numpy.bool_(True), numpy.float64("nan")],
    }
    for protocol in (2, 4):
        save(f"arguments-{protocol}.pt", checkpoint_of({"w": torch.ones(1)}, init_args, common_args), pickle_protocol=protocol)


def refused(model, checkpoint):
    """What torch can write and the reader refuses."""

    def write(name, value, **options):
        torch.save(value, os.path.join(folder, name), **options)

    write("refused-legacy.pt", checkpoint, _use_new_zipfile_serialization=False)
    write("refused-state-dict.pt", model.state_dict())
    write("refused-module.pt", model)
    write("refused-linear.pt", nn.Linear(2, 2))
    write("refused-expanded.pt", checkpoint_of({"w": torch.ones(1).expand(1000)}))
    write("refused-sparse.pt", checkpoint_of({"w": torch.eye(3).to_sparse()}))
    write("refused-quantised.pt", checkpoint_of({"w": torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)}))
    write("refused-complex.pt", checkpoint_of({"w": torch.ones(2, dtype=torch.complex64).conj()}))
    write("refused-bytes.pt", checkpoint_of({"w": torch.ones(2, dtype=torch.uint8)}))
    write("refused-tensor-argument.pt", checkpoint_of({}, {"weights": torch.ones(2)}))
    write("refused-array.pt", checkpoint_of({}, loss=numpy.ones(3)))
    write("refused-set.pt", checkpoint_of({}, {"names": {"a", "b"}}), pickle_protocol=4)
    if hasattr(torch.serialization, "set_crc32_options"):
        # torch 1.x forgets the sign of such a view
        write("refused-negated.pt", checkpoint_of({"w": torch.ones(2, dtype=torch.complex64).conj().imag}))
        torch.serialization.set_crc32_options(False)
        write("refused-no-checksums.pt", checkpoint)
        torch.serialization.set_crc32_options(True)
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), os.path.join(folder, "refused-script.pt"))


model, checkpoint = routers()
types()
views()
arguments()
refused(model, checkpoint)
with open(os.path.join(folder, "expected.json"), "w") as file:
    json.dump({"torch": torch.__version__, "files": expected}, file, indent=1)
    file.write("\n")
