"""What all figures share: colours, the caption that says where rows come from, saving."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402  (the backend is chosen first)
import pandas as pd  # noqa: E402

# Okabe and Ito's colours, dark to light so that they also differ in greyscale.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#F0E442", "#D55E00", "#56B4E9", "#CC79A7", "#999999")
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo", "--")
PANELS_PER_FIGURE = 9
STYLE = {"font.size": 9, "axes.titlesize": 10, "hatch.linewidth": 0.5, "svg.hashsalt": "tritbench",
         "figure.dpi": 100, "savefig.dpi": 150}


def whiskers(row: pd.Series, value: float) -> tuple[float, float]:
    """Half lengths of the 95% interval of a rate whose time is median_ns; NaN where unknown."""
    lo, mid, hi = row["ci95_lo_ns"], row["median_ns"], row["ci95_hi_ns"]
    if not (lo > 0 and mid > 0 and hi > 0):
        return math.nan, math.nan
    return max(value - value * mid / hi, 0.0), max(value * mid / lo - value, 0.0)


def caption(frame: pd.DataFrame, left_out: int = 0) -> str:
    """Where the rows drawn come from: files, machines, dates, revisions; rows left out."""
    def distinct(values) -> str:
        return ", ".join(dict.fromkeys(v for v in map(str, values) if v)) or "unknown"

    machines = [f"{m} ({c})" if c else m for m, c in zip(frame["machine_id"], frame["cpu"])]
    days = sorted({u[:10] for u in frame["utc"] if u})
    when = " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "at an unknown date"
    revisions = [r + ("+dirty" if d in ("true", "1", "True") else "")
                 for r, d in zip(frame["git_revision"], frame["git_dirty"]) if r]
    text = (f"Source: {distinct(Path(s).name for s in frame['source'])}. "
            f"Machine: {distinct(machines)}. "
            f"Measured {when}, revision {distinct(revisions)}. "
            "Medians; whiskers: 95% interval. Proved rows only")
    return text + (f"; rows of the file left out: {left_out}." if left_out else ".")


def save(figure, directory: Path, name: str) -> list[Path]:
    paths = [directory / f"{name}.{suffix}" for suffix in ("png", "svg")]
    for path in paths:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
    return paths
