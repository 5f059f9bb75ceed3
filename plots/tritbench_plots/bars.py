"""What kernels were asked to reach, and where they stand: experiments/bars/records.toml.

A bar is met only by a proved row. A combination that was not measured is a line that says so; it
never counts as met. Every figure is a ratio within one run: shares of ceilings come from the row,
speeds are compared between rows of one file, machine and run.
"""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import pandas as pd

from tritbench_plots.load import LoadError, proved
from tritbench_plots.tables import below_limit, time_ratio

METRICS = ("pct_of_ceiling", "pct_of_peak", "pct_of_mix", "speed")
REQUIRED = {"what", "kernels", "batch", "cache", "threads", "metric", "at_least"}
OPTIONAL = {"shapes", "over"}


def read_bars(path: str | Path) -> list[dict]:
    """The bars of a file; raises LoadError naming the file and the bar."""
    try:
        import tomllib
    except ModuleNotFoundError:
        raise LoadError("bars: needs Python 3.11 or later, which reads TOML") from None
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise LoadError(f"{path}: cannot be read as TOML: {problem}") from None
    bars = data.get("bar", [])
    if not bars or set(data) != {"bar"}:
        raise LoadError(f"{path}: expected one or more [[bar]] tables and nothing else")
    for number, bar in enumerate(bars, 1):
        where = f"{path}: bar {number}"
        if missing := REQUIRED - set(bar):
            raise LoadError(f"{where}: missing {', '.join(sorted(missing))}")
        if unknown := set(bar) - REQUIRED - OPTIONAL:
            raise LoadError(f"{where}: unknown key {', '.join(sorted(unknown))}")
        if bar["metric"] not in METRICS:
            raise LoadError(f"{where}: metric is {bar['metric']!r}, expected {', '.join(METRICS)}")
        if (bar["metric"] == "speed") != ("over" in bar):
            raise LoadError(f"{where}: 'over' belongs to the metric speed, and to no other")
    return bars


def _measured(row: pd.Series, bar: dict, rows: pd.DataFrame) -> tuple[float, bool]:
    """The figure a bar asks about, NaN if the row or its partner does not have it; and whether it
    is a ratio that the A/A controls of the two do not allow to tell from 1."""
    if bar["metric"] != "speed":
        return pd.to_numeric(row.get(bar["metric"], ""), errors="coerce"), False
    same = ["source", "machine_id", "run_id", "n", "k", "batch", "threads", "cache_mode"]
    partner = rows[(rows["kernel"] == bar["over"]) & (rows[same] == row[same]).all(axis=1)]
    if partner.empty:
        return math.nan, False
    other = partner.iloc[-1]
    ratio = time_ratio(other, row)
    return ratio, below_limit(ratio, row["aa_limit_pct"], other["aa_limit_pct"])


def _verdict(value: float, at_least: float) -> str:
    if pd.isna(value):
        return "not measured"
    return "met" if value >= at_least else "not met"


def bars_table(frame: pd.DataFrame, bars: list[dict]) -> pd.DataFrame:
    """One line per machine, bar and combination: what was measured, what was asked."""
    rows = proved(frame)
    rows = rows[rows["level"] == "kernel"]
    shapes = sorted({(r["n"], r["k"]) for _, r in rows.iterrows()}, key=lambda s: (s[0] * s[1], s))
    lines = []
    for machine, bar in product(dict.fromkeys(rows["machine_id"]), bars):
        here = rows[(rows["machine_id"] == machine) & (rows["cache_mode"] == bar["cache"])]
        wanted = [s for s in shapes
                  if "shapes" not in bar or f"{s[0]:.0f}x{s[1]:.0f}" in bar["shapes"]]
        for kernel, threads, batch, (n, k) in product(bar["kernels"], bar["threads"],
                                                      bar["batch"], wanted):
            found = here[(here["kernel"] == kernel) & (here["threads"] == threads)
                         & (here["batch"] == batch) & (here["n"] == n) & (here["k"] == k)]
            value, unclear = (_measured(found.iloc[-1], bar, here) if len(found)
                              else (math.nan, False))
            lines.append({"machine_id": machine, "bar": bar["what"], "kernel": kernel,
                          "shape": f"{n:.0f}x{k:.0f}", "batch": batch, "threads": threads,
                          "measured": value, "unclear": unclear, "asked": bar["at_least"],
                          "verdict": _verdict(value, bar["at_least"])})
    return pd.DataFrame(lines)


def bars_cells(table: pd.DataFrame) -> dict[str, list[str]]:
    """The table as text: percentages with one decimal, ratios with two."""
    def figure(value: float, asked: float) -> str:
        if pd.isna(value):
            return ""
        return f"{value:.2f}x" if asked < 10 else f"{value:.1f}%"

    cells = {name: [str(v) for v in table[name]]
             for name in ("bar", "kernel", "shape", "batch", "threads")}
    if table["machine_id"].nunique() > 1:
        cells = {"machine": list(table["machine_id"]), **cells}
    cells["measured"] = [("~" if u else "") + figure(v, a) for v, u, a in
                         zip(table["measured"], table["unclear"], table["asked"])]
    cells["asked"] = [figure(a, a) for a in table["asked"]]
    cells["verdict"] = list(table["verdict"])
    return cells
