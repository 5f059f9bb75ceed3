"""Speed as a curve over what an experiment varies: model size, threads, batch, footprint.

A figure is drawn when a file has the points for it: one kernel (or plan) measured at several values
with everything else alike. Of each layout the best kernel of a panel is drawn, so that a sweep over
the whole registry stays readable; plans are lines of their own.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import matplotlib.pyplot as plt
import pandas as pd

from tritbench_plots.load import excluded, proved
from tritbench_plots.order import kernels_in_order
from tritbench_plots.style import COLOURS, PANELS_PER_FIGURE, STYLE, caption, save, whiskers
from tritbench_plots.tables import count

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES = ("-", "--", ":", "-.")


@dataclass
class Curve:
    """One figure: what is varied, what is drawn over it, and what a panel holds fixed."""

    name: str
    title: str
    x: str
    x_axis: str
    y: str
    y_axis: str
    fixed: tuple[str, ...]
    heading: Callable[[pd.Series], str]
    least: int = 2             # points that make a curve
    base: int = 2              # of the logarithmic axis
    log_y: bool = False
    tick: Callable[[pd.Series], str] | None = None   # what a point of x is called
    scale: Callable[[float], str] | None = None      # what a value of x is called


def threads_text(row: pd.Series) -> str:
    text = count(row["threads"])
    return f"{text} thread" + ("" if text == "1" else "s")


def product_text(row: pd.Series) -> str:
    return f"{count(row['n'])} x {count(row['k'])}"


def test_text(row: pd.Series) -> str:
    """"prefill of 128", "decode at depth 2048", with what is not as usual."""
    if row["phase"] == "prefill":
        return f"prefill of {count(row['batch'])}"
    depth = count(row["depth_tokens"])
    return "decode" + (f" at depth {depth}" if depth not in ("", "0") else "")


def mebibytes(value: float) -> str:
    return f"{value / 2**20:.3g} MiB"


_MODEL_FIXED = ("machine_id", "phase", "test", "head_type", "cache_type")
_PRODUCT_FIXED = ("machine_id", "n", "k", "activation_zeros")

CURVES = (
    Curve("by_size", "Speed by size of the model", "model_parameters", "parameters",
          "tokens_per_s", "tokens/s", (*_MODEL_FIXED, "threads"),
          lambda r: f"{test_text(r)}, {threads_text(r)}", least=3, base=10, log_y=True,
          tick=lambda r: r["model_size"]),
    Curve("by_threads_models", "Whole models by number of threads", "threads", "threads",
          "tokens_per_s", "tokens/s", (*_MODEL_FIXED, "model"),
          lambda r: f"{r['model']}, {test_text(r)}"),
    Curve("by_threads_products", "Bare products by number of threads", "threads", "threads",
          "gmac_per_s", "GMAC/s", (*_PRODUCT_FIXED, "batch", "cache_mode"),
          lambda r: f"{product_text(r)}, batch {count(r['batch'])}, {r['cache_mode']}"),
    Curve("by_batch", "Bare products by tokens multiplied together", "batch", "batch (tokens)",
          "gmac_per_s", "GMAC/s", (*_PRODUCT_FIXED, "threads", "cache_mode"),
          lambda r: f"{product_text(r)}, {threads_text(r)}, {r['cache_mode']}", least=3),
    Curve("by_footprint", "GEMV by bytes of its weights", "packed_bytes", "packed weights",
          "gb_per_s", "GB/s", ("machine_id", "threads", "cache_mode", "activation_zeros"),
          lambda r: f"{threads_text(r)}, {r['cache_mode']}", least=4, scale=mebibytes),
)


def rows_for(frame: pd.DataFrame, curve: Curve) -> pd.DataFrame:
    """The proved rows that a figure may draw, with `line`, what a curve is called."""
    rows = proved(frame)
    models = curve.y == "tokens_per_s"
    if models:
        alone = rows["sequences"].isna() | (rows["sequences"] == 1)
        rows = rows[(rows["level"] == "e2e") & rows["phase"].isin(("prefill", "decode")) & alone]
        rows = rows.assign(test=rows["depth_tokens"].where(rows["phase"] == "decode",
                                                           rows["batch"]).fillna(-1),
                           model_size=[m.split("-i2_s")[0] for m in rows["model"]])
    else:
        rows = rows[rows["level"] == "kernel"]
        if curve.name == "by_footprint":
            rows = rows[rows["phase"] == "gemv"]
            # Matrices of one size are one point.
            packed = rows["n"] * rows["k"] * rows["bits_per_weight"] / 8
            rows = rows.assign(packed_bytes=[float(f"{v:.3g}") for v in packed])
    return rows[(rows[curve.x] > 0) & (rows[curve.y] > 0)].assign(line=lambda r: r["runner"])


def best_of_layouts(rows: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Of each layout the kernel that is fastest most often, at its best where it has several rows
    at one x (tiles, pins); plans as they are."""
    best = rows.sort_values(y).drop_duplicates(["line", x], keep="last")
    planned = best["line"].str.startswith("plan ")
    kept = [best[planned]]
    for _, layout in best[~planned].groupby("layout"):
        fastest = layout.sort_values(y).drop_duplicates(x, keep="last")["line"]
        counts = fastest.value_counts()
        champions = sorted(counts[counts == counts.max()].index)
        # The one that goes on the longest, of those that win equally often.
        champion = max(champions, key=lambda k: (layout["line"] == k).sum())
        kept.append(layout[layout["line"] == champion])
    return pd.concat(kept)


def panels_of(rows: pd.DataFrame, curve: Curve) -> list[tuple[str, pd.DataFrame]]:
    """Heading and rows of each panel that has a curve."""
    panels = []
    for _, part in rows.groupby(list(curve.fixed), dropna=False):
        part = best_of_layouts(part, curve.x, curve.y)
        points = part.groupby("line")[curve.x].nunique()
        part = part[part["line"].isin(points[points >= curve.least].index)]
        if part.empty:
            continue
        first = part.iloc[0]
        heading = curve.heading(first)
        if rows["machine_id"].nunique() > 1:
            heading += f"\n{first['machine_id']}"
        for column, text in (("head_type", "head {}"), ("cache_type", "cache {}")):
            if column in curve.fixed and rows[column].nunique() > 1:
                heading += ", " + text.format(first[column])
        if "activation_zeros" in curve.fixed and first["activation_zeros"] > 0:
            heading += f", zeros {first['activation_zeros']:g}"
        panels.append((heading, part))
    return panels


def _style(index: int) -> dict[str, object]:
    return {"color": COLOURS[index % len(COLOURS)], "marker": _MARKERS[index % len(_MARKERS)],
            "linestyle": _DASHES[index // len(COLOURS) % len(_DASHES)], "linewidth": 1.2,
            "markersize": 4, "capsize": 2, "elinewidth": 0.8}


def _draw_panel(axes, heading: str, rows: pd.DataFrame, curve: Curve, lines: list[str]) -> None:
    for line in lines:
        part = rows[rows["line"] == line].sort_values(curve.x)
        if part.empty:
            continue
        spread = [whiskers(r, r[curve.y]) for _, r in part.iterrows()]
        known = not any(math.isnan(v) for pair in spread for v in pair)
        axes.errorbar(part[curve.x], part[curve.y], label=line, **_style(lines.index(line)),
                      yerr=list(zip(*spread)) if known else None)
    axes.set_xscale("log", base=curve.base)
    named = rows.drop_duplicates(curve.x).sort_values(curve.x)
    texts = [curve.tick(r) if curve.tick else count(r[curve.x]) for _, r in named.iterrows()]
    if curve.scale is not None:
        axes.xaxis.set_major_formatter(lambda value, _: curve.scale(value))
        axes.minorticks_off()
    elif len(named) <= 12:
        crowded = len(named) > 6
        axes.set_xticks(list(named[curve.x]), texts, rotation=45 if crowded or curve.tick else 0,
                        ha="right" if crowded or curve.tick else "center")
        axes.minorticks_off()
    if curve.log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(heading)
    axes.set_xlabel(curve.x_axis)
    axes.set_ylabel(curve.y_axis)
    axes.grid(linewidth=0.4, alpha=0.6)
    axes.set_axisbelow(True)


def _draw(curve: Curve, panels: list[tuple[str, pd.DataFrame]], frame: pd.DataFrame,
          directory: Path) -> list[Path]:
    paths: list[Path] = []
    pages = [panels[i:i + PANELS_PER_FIGURE] for i in range(0, len(panels), PANELS_PER_FIGURE)]
    for number, page in enumerate(pages, 1):
        drawn = pd.concat([rows for _, rows in page])
        lines = kernels_in_order(drawn["line"])
        columns = min(len(page), 3)
        height = math.ceil(len(page) / columns)
        size = (4.6 * columns + 2.2, 3.4 * height + 1.4)
        with plt.rc_context(STYLE):
            figure, grid = plt.subplots(height, columns, figsize=size, squeeze=False)
            for axes, (heading, rows) in zip(grid.flat, page):
                _draw_panel(axes, heading, rows, curve, lines)
            for axes in grid.flat[len(page):]:
                axes.set_visible(False)
            handles = {}
            for axes in grid.flat[:len(page)]:
                for handle, label in zip(*axes.get_legend_handles_labels()):
                    handles.setdefault(label, handle)
            named = [line for line in lines if line in handles]
            figure.legend([handles[n] for n in named], named, loc="center right", frameon=False,
                          fontsize=8)
            title = curve.title + (f" ({number} of {len(pages)})" if len(pages) > 1 else "")
            figure.text(0.02, 1 - 0.3 / size[1], title, fontsize=12, fontweight="bold")
            text = textwrap.fill(caption(drawn, len(excluded(frame))), int(size[0] * 16))
            figure.text(0.02, 0.1 / size[1], text, fontsize=7, va="bottom")
            bottom = (0.25 + 0.13 * text.count("\n")) / size[1] + 0.02
            figure.tight_layout(rect=(0, bottom, 1 - 1.9 / size[0], 1 - 0.45 / size[1]))
            name = curve.name + (f"-{number}" if number > 1 else "")
            paths += save(figure, directory, name)
    return paths


def draw_curves(frame: pd.DataFrame, directory: str | Path) -> list[Path]:
    """Every curve that the rows allow, as PNG and SVG; the paths written. Raises OSError."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for curve in CURVES:
        rows = rows_for(frame, curve)
        panels = panels_of(rows, curve) if not rows.empty else []
        if panels:
            paths += _draw(curve, panels, frame, directory)
    return paths
