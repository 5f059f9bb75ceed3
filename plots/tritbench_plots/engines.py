"""Whole models in ours and in other engines: a table from a race in rounds (an engines-DATE.csv, see
results/baselines/README.md).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tritbench_plots.load import LoadError

COLUMNS = ("round", "side", "engine", "model", "test", "threads", "tokens_per_s")
# What ours are compared as; the other runs of ours have a column of their own.
OURS = "default"

NOTE = (
    "Tokens/s of all tokens, as llama-bench counts; medians over the rounds. A ratio is taken within each "
    "round, in which every engine ran once, in random order: median, lowest and highest. The same shapes "
    "and the same Q6_K head on both sides, but for the last columns."
)


def load_engines(path: str | Path) -> pd.DataFrame:
    """The file of a race; raises LoadError."""
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as problem:
        raise LoadError(f"{path}: cannot be read as CSV: {problem}") from None
    if missing := [c for c in COLUMNS if c not in frame]:
        raise LoadError(f"{path}: line 1: missing column {', '.join(missing)}")
    if wrong := sorted(set(frame["side"]) - {"ours", "peer"}):
        raise LoadError(f"{path}: column side: found {wrong[0]!r}, expected ours, peer")
    if not (frame["tokens_per_s"] > 0).all():
        raise LoadError(f"{path}: column tokens_per_s: expected numbers above 0")
    return frame


def _by_round(rows: pd.DataFrame) -> pd.DataFrame:
    """Rounds down, engines across."""
    return rows.pivot_table(index="round", columns="engine", values="tokens_per_s", aggfunc="median")


def engines_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One line per model, test and threads: ours, and the peer that is fastest by its median."""
    lines = []
    for name, rows in frame.groupby(["model", "test", "threads"], sort=False):
        ours = _by_round(rows[rows["side"] == "ours"])
        peers = _by_round(rows[rows["side"] == "peer"])
        if OURS not in ours or peers.empty:
            continue
        rival = peers.median().idxmax()
        ratios = (ours[OURS] / peers[rival]).dropna()
        if ratios.empty:
            continue
        line = dict(zip(("model", "test", "threads"), name))
        line |= {"ours": ours[OURS].median(), "peer": rival, "peer_speed": peers[rival].median(),
                 "ratio": ratios.median(), "least": ratios.min(), "most": ratios.max(),
                 "rounds": len(ratios)}
        line |= {f"ours: {other}": ours[other].median() for other in ours if other != OURS}
        lines.append(line)
    return pd.DataFrame(lines)


def _figures(values: pd.Series, decimals: int) -> list[str]:
    return ["" if pd.isna(v) else f"{v:.{decimals}f}" for v in values]


def engines_cells(table: pd.DataFrame) -> dict[str, list[str]]:
    cells = {
        "model": list(table["model"]), "test": list(table["test"]),
        "threads": [str(t) for t in table["threads"]], "ours tok/s": _figures(table["ours"], 1),
        "fastest peer": list(table["peer"]), "its tok/s": _figures(table["peer_speed"], 1),
        "ratio": [f"{m:.2f}x ({a:.2f}..{b:.2f})"
                  for m, a, b in zip(table["ratio"], table["least"], table["most"])],
    }
    for column in table:
        if column.startswith("ours: "):
            cells[column.removeprefix("ours: ") + " tok/s"] = _figures(table[column], 1)
    return cells
