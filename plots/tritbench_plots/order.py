"""The order in which kernels and models are listed: baselines first, wider ISA later."""

from __future__ import annotations

import math
from typing import Iterable

import pandas as pd

_LAYOUTS = ("f32", "f16", "int8", "i2s")
_ISAS = ("scalar", "ssse3", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512vbmi", "neon",
         "dotprod", "i8mm", "sve")


def _rank(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else len(names)


def kernel_key(kernel: str) -> tuple:
    """Sort key of an id <layout>_<isa>[_<tag>]; layouts and ISAs not known here come last."""
    layout, _, rest = kernel.partition("_")
    isa, _, tag = rest.partition("_")
    return (_rank(_LAYOUTS, layout), layout, _rank(_ISAS, isa), isa, tag)


def models_in_order(frame: pd.DataFrame) -> list[str]:
    """Names of the models in a frame, the smallest file first."""
    sizes: dict[str, float] = {}
    for model, size in zip(frame["model"], frame["model_file_bytes"]):
        known = sizes.get(model, math.inf)
        sizes[model] = known if math.isnan(size) else min(known, size)
    return sorted(sizes, key=lambda m: (sizes[m], m))


def kernels_in_order(kernels: Iterable[str]) -> list[str]:
    return sorted(set(kernels), key=kernel_key)
