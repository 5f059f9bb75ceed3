"""Two short tables from long result files: kernels against the limits of the machine (a run of
experiments/records.toml), and ours against the peers (a peers.csv, see results/baselines/README.md).
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from tritbench_plots.load import LoadError, proved
from tritbench_plots.order import kernels_in_order

PEER_COLUMNS = ("side", "engine", "kernel", "n", "k", "batch", "threads", "cache", "median_ns",
                "mad_ns", "repetitions", "gmac_per_s", "relative_error")
# Beyond this an answer is wrong, whatever the format: 8-bit activations cost about 0.01.
WRONG = 0.05

NOTE_RECORDS = (
    "Lowest of the shapes in the file, so that no shape hides behind another. Gweights/s counts "
    "weights, whatever their bits; % bw is of the read bandwidth of the same footprint and threads, "
    "% peak of the fastest multiply-accumulate instruction, both measured in the same run. "
    "Cold: rotating over copies that exceed the last-level cache four times."
)


# ---- kernels against the machine -----------------------------------------------------------------

def _lowest(rows: pd.DataFrame, column: str) -> float:
    values = pd.to_numeric(rows[column], errors="coerce") if column in rows else pd.Series()
    return values.min() if len(values) else math.nan


def records_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One line per kernel of a records run."""
    good = proved(frame)
    good = good[good["level"] == "kernel"]
    lines = []
    for kernel in kernels_in_order(good["kernel"]):
        mine = good[good["kernel"] == kernel]
        gemv = mine[mine["phase"] == "gemv"]
        line: dict[str, object] = {"kernel": kernel, "bits": mine["bits_per_weight"].iloc[0]}
        for threads in (1, 2):
            cold = gemv[(gemv["cache_mode"] == "cold") & (gemv["threads"] == threads)]
            line[f"cold{threads}"] = _lowest(cold, "gmac_per_s")
            line[f"cold{threads}_pct"] = _lowest(cold, "pct_of_ceiling")
        hot = gemv[(gemv["cache_mode"] == "hot") & (gemv["threads"] == 1)]
        line["hot"], line["hot_pct"] = _lowest(hot, "gmac_per_s"), _lowest(hot, "pct_of_peak")
        for batch in (8, 32, 128, 512):
            gemm = mine[(mine["phase"] == "gemm") & (mine["batch"] == batch)]
            line[f"gemm{batch}_pct"] = _lowest(gemm, "pct_of_peak")
        lines.append(line)
    return pd.DataFrame(lines)


def _figures(values: pd.Series, decimals: int, unit: str = "") -> list[str]:
    return ["" if pd.isna(v) else f"{v:.{decimals}f}{unit}" for v in values]


def records_cells(table: pd.DataFrame) -> dict[str, list[str]]:
    cells = {"kernel": list(table["kernel"]), "bits": _figures(table["bits"], 2)}
    for threads in (1, 2):
        cells[f"cold x{threads} Gweights/s"] = _figures(table[f"cold{threads}"], 1)
        cells[f"cold x{threads} % bw"] = _figures(table[f"cold{threads}_pct"], 0, "%")
    cells["hot Gweights/s"] = _figures(table["hot"], 1)
    cells["hot % peak"] = _figures(table["hot_pct"], 0, "%")
    for batch in (8, 32, 128, 512):
        cells[f"batch {batch} % peak"] = _figures(table[f"gemm{batch}_pct"], 0, "%")
    return {name: values for name, values in cells.items() if any(values)}


# ---- ours against the peers ----------------------------------------------------------------------

def load_peers(path: str | Path) -> pd.DataFrame:
    """A file of a race; raises LoadError."""
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as problem:
        raise LoadError(f"{path}: cannot be read as CSV: {problem}") from None
    if missing := [c for c in PEER_COLUMNS if c not in frame]:
        raise LoadError(f"{path}: line 1: missing column {', '.join(missing)}")
    if wrong := sorted(set(frame["side"]) - {"ours", "peer"}):
        raise LoadError(f"{path}: column side: found {wrong[0]!r}, expected ours, peer")
    return frame


def peers_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One line per test: the fastest of ours, the fastest peer whose answer is right."""
    lines = []
    key = ["cache", "batch", "threads", "n", "k"]
    for name, rows in frame.groupby(key, sort=False):
        right = rows[rows["relative_error"] <= WRONG].sort_values("median_ns")
        ours, peers = right[right["side"] == "ours"], right[right["side"] == "peer"]
        if ours.empty or peers.empty:
            continue
        best, rival = ours.iloc[0], peers.iloc[0]
        lines.append({**dict(zip(key, name)), "ours": best["kernel"],
                      "ours_us": best["median_ns"] / 1e3,
                      "peer": f"{rival['engine']} {rival['kernel']}",
                      "peer_us": rival["median_ns"] / 1e3,
                      "ratio": rival["median_ns"] / best["median_ns"]})
    return pd.DataFrame(lines)


def peers_cells(table: pd.DataFrame) -> dict[str, list[str]]:
    return {"product": [f"{'GEMV' if b == 1 else f'GEMM {b}'} {c}"
                        for b, c in zip(table["batch"], table["cache"])],
            "shape": [f"{n}x{k}" for n, k in zip(table["n"], table["k"])],
            "threads": [str(t) for t in table["threads"]],
            "best of ours": list(table["ours"]), "us": _figures(table["ours_us"], 1),
            "fastest peer": list(table["peer"]), "peer us": _figures(table["peer_us"], 1),
            "ratio": _figures(table["ratio"], 2, "x")}


def wrong_answers(frame: pd.DataFrame) -> str:
    """Which peers answered wrongly, and where; empty if none."""
    rows = frame[(frame["side"] == "peer") & ~(frame["relative_error"] <= WRONG)]
    names = {f"{r['engine']} {r['kernel']} (batch {r['batch']})": None for _, r in rows.iterrows()}
    return f"Left out for wrong answers: {', '.join(names)}." if names else ""
