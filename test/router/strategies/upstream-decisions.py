"""Writes upstream-decisions.json: what upstream's own strategies decide on random sequences of signals.

    python3 upstream-decisions.py UPSTREAM_CHECKOUT > upstream-decisions.json && prettier --write upstream-decisions.json

Runs upstream's classes (thu-nics/R2R, r2r/utils/switching.py) as they are, one request at a time, on a CPU. Their inputs are scripted:
a row's "logits" are its index, from which stand-ins for the two uncertainty functions and for the network look up its signals.
Needs torch and numpy; run with torch 1.13.
"""
import base64
import contextlib
import io
import json
import sys
import types

import numpy as np
import torch

ROWS, REQUEST = 3000, 500
generator = np.random.default_rng(20261122)


def signals():
    """Signals in two regimes that last a while, around upstream's thresholds, now and then exactly on one or beside it."""
    regime = np.zeros(ROWS, dtype=bool)
    for i in range(1, ROWS):
        regime[i] = regime[i - 1] ^ (generator.random() < 0.12)

    def around(threshold, spread):
        values = (threshold + spread * generator.normal(np.where(regime, 0.5, -0.7), 1.0, ROWS)).clip(1e-4).astype(np.float32)
        on = generator.random(ROWS) < 0.03
        values[on] = np.float32(threshold)
        values[generator.random(ROWS) < 0.02] = np.nextafter(np.float32(threshold), np.float32(0))
        return values

    # In the last request, averages are decided by how sums are rounded.
    aleatoric = around(2.275, 0.02)
    steps = generator.integers(-2, 3, REQUEST).astype(np.int32)
    aleatoric[-REQUEST:] = (np.full(REQUEST, 2.275, np.float32).view(np.int32) + steps).view(np.float32)

    logit = generator.normal(np.where(regime, 0.6, -1.6), 1.2, ROWS).astype(np.float32)
    entropy = np.where(generator.random(ROWS) < 0.2, around(0.02, 0.02), around(0.45, 0.3)).astype(np.float32)
    return {'logit': logit, 'entropy': entropy, 'aleatoric': aleatoric, 'epistemic': around(0.055, 0.01)}


S = signals()
S['probability'] = torch.sigmoid(torch.from_numpy(S['logit'])).numpy()


def tensor(name, index):
    return torch.from_numpy(S[name][index : index + 1].copy())


def index_of(logits):
    return int(logits.reshape(-1)[0])


class Network(torch.nn.Module):
    def forward(self, logits):
        return tensor('logit', index_of(logits)).reshape(1, 1)


OWN_THRESHOLD = 0.40595959595959596


def load_model(path, **kwargs):
    common = {'threshold': OWN_THRESHOLD, 'input_type': 'logits'}
    return Network(), {'init_args': {'logits_size': 0}, 'common_args': common, 'model_type': 'scripted'}


def upstream(folder):
    """Imports switching.py; what it imports but these runs do not need is put in its place."""
    sys.path.insert(0, folder)
    for name, content in {
        'tqdm': {'tqdm': iter},
        'r2r.models.router': {'load_model': load_model},
        'r2r.utils.dataclass': {'ModelOutputs': object},
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        sys.modules[name] = module
    from r2r.utils import switching

    switching.compute_logu = lambda logits: (tensor('aleatoric', index_of(logits)), tensor('epistemic', index_of(logits)))
    switching.compute_entropy = lambda logits: tensor('entropy', index_of(logits))
    return switching


def decisions(switching, name, arguments):
    bits = []
    for i in range(ROWS):
        if i % REQUEST == 0:
            with contextlib.redirect_stdout(io.StringIO()):
                strategy = switching.create_switching_strategy(name, **arguments)
        choice = strategy.route(types.SimpleNamespace(logits=torch.tensor([[[float(i)]]]), hidden_states=None, token=None))
        bits.append(choice == 'reference' if isinstance(choice, str) else bool(choice[0]))
    return np.packbits(np.array(bits)).tobytes().hex()


NEURAL = {'model_path': '', 'device': 'cpu'}
# A decimal that is a row's probability only in single precision.
ON_A_ROW = min((float(str(p)) for p in S['probability'] if float(str(p)) > p), key=lambda p: abs(p - 0.3))
CASES = [
    ('neural', {**NEURAL, 'use_cuda_graph': False}, OWN_THRESHOLD, {}),
    ('neural', {**NEURAL, 'use_cuda_graph': False, 'threshold': ON_A_ROW}, ON_A_ROW, {}),
    ('neural_rolling', NEURAL, OWN_THRESHOLD, {}),
    ('neural_rolling', {**NEURAL, 'threshold': ON_A_ROW, 'window_size': 5}, ON_A_ROW, {'windowSize': 5}),
    ('neural_rolling', {**NEURAL, 'threshold': ON_A_ROW, 'window_size': 1}, ON_A_ROW, {'windowSize': 1}),
    ('entropy', {}, 0.45, {}),
    ('entropy', {'entropy_threshold': 0.02}, 0.02, {}),
    ('immediate', {}, None, {}),
    ('immediate', {'aleatoric_threshold': 2.26, 'epistemic_threshold': 0.055}, None, {'aleatoricThreshold': 2.26, 'epistemicThreshold': 0.055}),
    ('immediate', {'epistemic_threshold': 0.05, 'entropy_threshold': 0.45}, None, {'epistemicThreshold': 0.05, 'entropyThreshold': 0.45}),
    ('immediate', {'aleatoric_threshold': 2.275, 'epistemic_threshold': 0.055, 'entropy_threshold': 0.3}, None,
     {'aleatoricThreshold': 2.275, 'epistemicThreshold': 0.055, 'entropyThreshold': 0.3}),
    ('momentum', {}, None, {}),
    ('momentum', {'aleatoric_threshold': 2.28, 'momentum_factor': 0.5, 'quick_to_ref_threshold': 0.25, 'ref_to_quick_threshold': 0.5}, None,
     {'aleatoricThreshold': 2.28, 'momentumFactor': 0.5, 'slmToLLMThreshold': 0.25, 'llmToSLMThreshold': 0.5}),
    ('rolling', {}, None, {}),
    ('rolling', {'aleatoric_threshold': 2.27, 'entropy_threshold': 0.45, 'window_size': 4}, None,
     {'aleatoricThreshold': 2.27, 'entropyThreshold': 0.45, 'windowSize': 4}),
    ('duo_rolling', {}, None, {}),
    ('duo_rolling', {'aleatoric_threshold': 2.28, 'window_size': 7}, None, {'aleatoricThreshold': 2.28, 'windowSize': 7}),
]

switching = upstream(sys.argv[1])
names = ['probability', 'entropy', 'aleatoric', 'epistemic']
json.dump(
    {
        'rows': ROWS,
        'requestLength': REQUEST,
        'signals': {name: base64.b64encode(S[name].astype('<f4').tobytes()).decode() for name in names},
        'cases': [
            {'strategy': name, **({} if threshold is None else {'threshold': threshold}), 'options': options,
             'llm': decisions(switching, name, arguments)}
            for name, arguments, threshold, options in CASES
        ],
    },
    sys.stdout,
    indent=1,
)
print()
