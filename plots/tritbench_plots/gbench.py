"""Figures of tritbench and of Google Benchmark on the same products, side by side.

One side is a result file of tritbench, the other the JSON that `tritbench_gbench --benchmark_out`
writes. Products are joined by kernel, tile, shape, batch, threads and cache state.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pandas as pd

from tritbench_plots.load import LoadError, proved
from tritbench_plots.order import kernel_key
from tritbench_plots.tables import count, significant

KEY = ["kernel", "n", "k", "batch", "threads", "cache_mode", "tile"]
_NAME = re.compile(r"^(?P<kernel>\w+)/(?P<n>\d+)x(?P<k>\d+)/batch:(?P<batch>\d+)/"
                   r"threads:(?P<threads>\d+)/(?P<cache_mode>hot|cold)(?:/(?P<tile>[\w=,]+))?"
                   r"/real_time$")
_UNITS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}


def _number(run: dict, field: str) -> float:
    value = run.get(field)
    return float(value) if isinstance(value, (int, float)) else math.nan


def _label_tile(label: str) -> str:
    """The tile in a label of tritbench_gbench, "i2r prefetch=0 bitexact"; it names every tile."""
    parts = label.split()
    return parts[1] if len(parts) == 3 else ""


def load_gbench(path: str | Path) -> pd.DataFrame:
    """One line for each benchmark that has a time: its key, nanoseconds (of repetitions the
    median), GMAC/s and GB/s. Raises LoadError."""
    path = Path(path)
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        runs = told["benchmarks"]
        runs = [run for run in runs if not run.get("error_occurred", False)]
    except FileNotFoundError:
        raise LoadError(f"{path}: no such file; expected what tritbench_gbench "
                        "--benchmark_out=FILE wrote") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise LoadError(f"{path}: is not the JSON of a Google Benchmark run: {problem}") from None
    lines: dict[tuple, list[dict]] = {}
    for run in runs:
        name = _NAME.match(str(run.get("run_name", run.get("name", ""))))
        if name is None or run.get("run_type", "iteration") != "iteration":
            continue
        parts = name.groupdict()
        key = (parts["kernel"], *(float(parts[c]) for c in ("n", "k", "batch", "threads")),
               parts["cache_mode"], _label_tile(str(run.get("label", ""))))
        lines.setdefault(key, []).append(run)
    rows = []
    for key, repetitions in lines.items():
        ns = pd.Series([_number(r, "real_time") * _UNITS.get(r.get("time_unit", "ns"), math.nan)
                        for r in repetitions]).median()
        middle = {c: pd.Series([_number(r, c) for r in repetitions]).median()
                  for c in ("GMAC/s", "GB/s")}
        rows.append(dict(zip(KEY, key), gbench_ns=ns, gbench_gmac_per_s=middle["GMAC/s"],
                         gbench_gb_per_s=middle["GB/s"], repetitions=len(repetitions)))
    if not rows:
        raise LoadError(f"{path}: has no benchmark of tritbench_gbench with a time")
    return pd.DataFrame(rows)


def side_by_side(frame: pd.DataFrame, gbench: pd.DataFrame) -> pd.DataFrame:
    """The products that both have, with `ratio`: Google Benchmark's time over tritbench's."""
    ours = proved(frame)
    ours = ours[ours["level"] == "kernel"]
    ours = ours[[*KEY, "median_ns", "gmac_per_s", "gb_per_s"]]
    both = ours.merge(gbench, on=KEY)
    both["ratio"] = both["gbench_ns"] / both["median_ns"]
    both["_kernel"] = both["kernel"].map(kernel_key)
    return both.sort_values(["n", "k", "batch", "threads", "cache_mode", "_kernel", "tile"]).drop(
        columns="_kernel").reset_index(drop=True)


def side_by_side_cells(table: pd.DataFrame) -> dict[str, list[str]]:
    """As column heading -> cells of text."""
    return {
        "kernel": [f"{k} {t}".strip() for k, t in zip(table["kernel"], table["tile"])],
        "shape": [f"{count(n)}x{count(k)}" for n, k in zip(table["n"], table["k"])],
        "batch": [count(v) for v in table["batch"]],
        "threads": [count(v) for v in table["threads"]],
        "cache": list(table["cache_mode"]),
        "tritbench us": [significant(v / 1e3) for v in table["median_ns"]],
        "gbench us": [significant(v / 1e3) for v in table["gbench_ns"]],
        "tritbench GMAC/s": [significant(v) for v in table["gmac_per_s"]],
        "gbench GMAC/s": [significant(v) for v in table["gbench_gmac_per_s"]],
        "ratio": [f"{v:.3f}" for v in table["ratio"]],
    }


def ratio_line(table: pd.DataFrame) -> str:
    ratios = table["ratio"]
    return (f"{len(table)} products: Google Benchmark's time over tritbench's, median "
            f"{ratios.median():.3f}, middle half {ratios.quantile(0.25):.3f} to "
            f"{ratios.quantile(0.75):.3f}, all {ratios.min():.3f} to {ratios.max():.3f}.")
