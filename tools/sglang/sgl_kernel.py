"""Stands in for the CUDA package sgl_kernel on a machine without a GPU: every name can be imported, none can be called.

SGLang's CPU path calls none of them. `sgl_kernel.scalar_type` stays missing on purpose: SGLang then uses its own substitute.
"""

import importlib.abc
import importlib.machinery
import sys
import types

__version__ = "0.3.21"
__path__ = []
_MISSING = {"sgl_kernel.scalar_type"}


def _names_of(module):
    def __getattr__(name):
        if name.startswith("__"):
            raise AttributeError(name)

        def unavailable(*_args, **_kwargs):
            raise NotImplementedError(f"{module}.{name} needs a GPU; this is the stand-in for machines without one")

        unavailable.__name__ = unavailable.__qualname__ = name
        return unavailable

    return __getattr__


__getattr__ = _names_of(__name__)


class _Submodules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname, path=None, target=None):
        if not fullname.startswith("sgl_kernel.") or fullname in _MISSING:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module):
        module.__getattr__ = _names_of(module.__name__)


sys.meta_path.append(_Submodules())
