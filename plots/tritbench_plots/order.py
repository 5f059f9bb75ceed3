"""The order in which kernels and models are listed: baselines first, wider ISA later."""

from __future__ import annotations

import math
from typing import Iterable

import pandas as pd

_LAYOUTS = ("f32", "bf16", "f16", "q8_0", "q6_k", "q4_0", "int8", "i2s", "i2r", "i2c", "t3r", "t5r")
_ISAS = ("scalar", "ssse3", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512vbmi", "neon",
         "dotprod", "i8mm", "sve")


def _rank(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else len(names)


def split_id(kernel: str) -> tuple[str, str, str]:
    """Layout, ISA and tag of an id <layout>_<isa>[_<tag>]. A layout may have underscores of its
    own (q8_0): the first part that is an ISA known here parts them, else the first underscore."""
    parts = kernel.split("_")
    at = next((i for i, part in enumerate(parts) if i and part in _ISAS), 1)
    return "_".join(parts[:at]), "".join(parts[at:at + 1]), "_".join(parts[at + 1:])


def kernel_key(kernel: str) -> tuple:
    """Sort key of a kernel's id; layouts and ISAs not known here come last."""
    layout, isa, tag = split_id(kernel)
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
