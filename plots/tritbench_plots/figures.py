"""Figures from result files, each as PNG and SVG.

Horizontal bars, one panel per model or shape, kernels by name on the axis, so that kernels nobody
knew of when this was written need no colour of their own. Bars of one kernel are told apart by a
colour-blind safe colour, by its lightness and by hatching.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd

from tritbench_plots.load import excluded, proved
from tritbench_plots.order import kernel_key, models_in_order
from tritbench_plots.style import (COLOURS, HATCHES, PANELS_PER_FIGURE, STYLE, caption, save,
                                   whiskers)
from tritbench_plots.tables import count, significant

_CEILING = "#000000"


@dataclass
class Panel:
    """One set of bars: rows of results, what splits a kernel's bars, and what they are called."""

    title: str
    rows: pd.DataFrame
    series: str  # the column whose values are the bars of one kernel


@dataclass
class Plot:
    """What all panels of a figure have in common."""

    name: str
    title: str
    value: str   # column drawn
    axis: str    # its name and unit
    ceiling: bool = False  # mark ceiling_gb_per_s on each bar


# How a bar's name tells its value of a column.
_MEANING = {"batch": "({} tokens)", "depth_tokens": "at depth {}", "pins": "on CPUs {}",
            "head_type": "head {}", "cache_type": "cache {}"}


def _label(row: pd.Series, columns: list[str]) -> str:
    parts = [row["kernel"]]
    for column in columns:
        value = row[column]
        text = value if isinstance(value, str) else count(value)
        if text:
            parts.append(_MEANING.get(column, "{}").format(text))
    return " ".join(parts)


def _varying(rows: pd.DataFrame, columns: tuple[str, ...]) -> list[str]:
    """Columns that must be part of a bar's name because they differ within a kernel."""
    return [c for c in columns if (rows.groupby("kernel")[c].nunique(dropna=False) > 1).any()]


def _series_name(column: str, value: object) -> str:
    if column == "threads":
        text = count(value)
        return f"{text} thread" + ("" if text == "1" else "s")
    return str(value) or "any"


_CACHE_MODES = ("hot", "cold", "stream")


def _series_key(value: object) -> tuple:
    if isinstance(value, str):
        return (_CACHE_MODES.index(value) if value in _CACHE_MODES else len(_CACHE_MODES), value)
    return (0, value)


def _label_place(end: float, ceiling: float, span: float) -> float:
    """Where a bar's figure begins: after its whisker, and not across its ceiling mark."""
    return ceiling if end < ceiling < end + 0.3 * span else end


def _draw_series(axes, rows: pd.DataFrame, places: list[float], height: float, plot: Plot,
                 style: int, span: float) -> None:
    values = rows[plot.value].to_numpy(dtype=float)
    axes.barh(places, values, height=height, color=COLOURS[style % len(COLOURS)],
              hatch=HATCHES[style % len(HATCHES)], edgecolor="black", linewidth=0.6)
    for place, value, (_, row) in zip(places, values, rows.iterrows()):
        below, above = whiskers(row, value)
        if not math.isnan(below):
            axes.errorbar(value, place, xerr=[[below], [above]], color="black", linewidth=1,
                          capsize=2)
        text = significant(value)
        end = value + (0 if math.isnan(above) else above)
        if plot.ceiling and row["ceiling_gb_per_s"] > 0:
            ceiling = row["ceiling_gb_per_s"]
            axes.plot([ceiling] * 2, [place - height / 2, place + height / 2], color=_CEILING,
                      linewidth=2.5, solid_capstyle="butt")
            end = _label_place(end, ceiling, span)
            text += f" ({significant(row['pct_of_ceiling'])}%)" if row["pct_of_ceiling"] > 0 else ""
        axes.annotate(text, (end, place), xytext=(4, 0), textcoords="offset points", va="center",
                      fontsize=7)


def _draw_panel(axes, panel: Panel, plot: Plot, styles: dict[object, int]) -> None:
    rows = panel.rows
    extra = _varying(rows.assign(kernel=rows["kernel"] + "|" + rows[panel.series].astype(str)),
                     ("tile", "pins", "head_type", "cache_type"))
    # Figures of different tests stand side by side only if each says which it is.
    extra += [c for c in ("batch", "depth_tokens") if rows[c].nunique() > 1]
    rows = rows.assign(label=[_label(r, extra) for _, r in rows.iterrows()])
    labels = sorted(dict.fromkeys(zip(rows["kernel"], rows["label"])),
                    key=lambda pair: (kernel_key(pair[0]), pair[1]))
    names = [label for _, label in labels]
    series = [s for s in styles if (rows[panel.series] == s).any()]
    height = 0.8 / max(len(series), 1)
    drawn = [plot.value, "ceiling_gb_per_s"] if plot.ceiling else [plot.value]
    span = float(rows[drawn].max().max())
    for i, value in enumerate(series):
        part = rows[rows[panel.series] == value]
        offset = (i - (len(series) - 1) / 2) * height
        places = [names.index(label) + offset for label in part["label"]]
        _draw_series(axes, part, places, height * 0.92, plot, styles[value], span)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)  # the first kernel on top
    axes.margins(x=0.2)  # room for the figures at the ends of bars
    axes.set_xlim(left=0)
    axes.set_title(panel.title)
    axes.set_xlabel(plot.axis)
    axes.grid(axis="x", linewidth=0.4, alpha=0.6)
    axes.set_axisbelow(True)


def _legend(figure, styles: dict[object, int], column: str, plot: Plot) -> None:
    handles = [matplotlib.patches.Patch(facecolor=COLOURS[i % len(COLOURS)], edgecolor="black",
                                        hatch=HATCHES[i % len(HATCHES)] * 2,
                                        label=_series_name(column, value))
               for value, i in styles.items()]
    if plot.ceiling:
        handles.append(matplotlib.lines.Line2D([], [], color=_CEILING, linewidth=2.5,
                                               label="measured read ceiling"))
    figure.legend(handles=handles, loc="upper right", ncol=len(handles), frameon=False)


def _draw(plot: Plot, panels: list[Panel], frame: pd.DataFrame, directory: Path) -> list[Path]:
    """One figure, or several pages of it."""
    paths: list[Path] = []
    pages = [panels[i:i + PANELS_PER_FIGURE] for i in range(0, len(panels), PANELS_PER_FIGURE)]
    for number, page in enumerate(pages, 1):
        values = sorted({v for p in page for v in p.rows[p.series].dropna()}, key=_series_key)
        styles = {value: i for i, value in enumerate(values)}
        drawn = pd.concat([p.rows for p in page])
        columns = min(len(page), 3)
        lines = math.ceil(len(page) / columns)
        bars = max(p.rows["kernel"].nunique() * max(p.rows[p.series].nunique(), 1) for p in page)
        text = textwrap.fill(caption(drawn, len(excluded(frame))), 90 * columns + 20)
        size = (5.2 * columns + 1.0, lines * (1.1 + 0.24 * max(bars, 3)) + 1.6)
        with plt.rc_context(STYLE):
            figure, grid = plt.subplots(lines, columns, figsize=size, squeeze=False)
            for axes, panel in zip(grid.flat, page):
                _draw_panel(axes, panel, plot, styles)
            for axes in grid.flat[len(page):]:
                axes.set_visible(False)
            title = plot.title + (f" ({number} of {len(pages)})" if len(pages) > 1 else "")
            figure.text(0.02, 1 - 0.3 / size[1], title, fontsize=12, fontweight="bold")
            _legend(figure, styles, page[0].series, plot)
            figure.text(0.02, 0.1 / size[1], text, fontsize=7, va="bottom", ha="left")
            below = 0.12 * (text.count("\n") + 1) + 0.2
            figure.tight_layout(rect=(0, below / size[1], 1, 1 - 0.55 / size[1]))
            paths += save(figure, directory, plot.name + (f"-{number}" if number > 1 else ""))
    return paths


# ---- the figures ---------------------------------------------------------------------------------

def _machine_suffix(frame: pd.DataFrame, machine: str) -> str:
    return f" on {machine}" if frame["machine_id"].nunique() > 1 else ""


def _model_panels(rows: pd.DataFrame) -> list[Panel]:
    panels = []
    for machine in sorted(rows["machine_id"].unique()):
        for model in models_in_order(rows):
            part = rows[(rows["machine_id"] == machine) & (rows["model"] == model)]
            if not part.empty:
                panels.append(Panel(model + _machine_suffix(rows, machine), part, "threads"))
    return panels


def _shape_panels(rows: pd.DataFrame) -> list[Panel]:
    panels = []
    rows = rows.assign(size=rows["n"] * rows["k"])
    by = ["machine_id", "size", "n", "k", "batch", "threads"]
    for (machine, _, n, k, batch, threads), part in rows.groupby(by, dropna=False):
        title = f"{count(n)} x {count(k)}, {_series_name('threads', threads)}"
        if count(batch) not in ("", "1"):
            title += f", batch {count(batch)}"
        panels.append(Panel(title + _machine_suffix(rows, machine), part, "cache_mode"))
    return panels


def _e2e(rows: pd.DataFrame, phase: str, column: str) -> pd.DataFrame:
    alone = rows["sequences"].isna() | (rows["sequences"] == 1)
    rows = rows[(rows["level"] == "e2e") & (rows["phase"] == phase) & (rows[column] > 0) & alone]
    return rows.assign(kernel=rows["runner"])


def draw_all(frame: pd.DataFrame, directory: str | Path) -> list[Path]:
    """Every figure the rows allow, as PNG and SVG; the paths written. Raises OSError."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    good = proved(frame)
    paths: list[Path] = []
    for phase in ("decode", "prefill"):
        rows = _e2e(good, phase, "tokens_per_s")
        if not rows.empty:
            plot = Plot(f"{phase}_tokens_per_s", f"{phase.capitalize()} speed of whole models",
                        "tokens_per_s", "tokens/s")
            paths += _draw(plot, _model_panels(rows), frame, directory)
    rows = _e2e(good, "decode", "gb_per_s")
    if not rows.empty:
        plot = Plot("decode_gb_per_s", "Decode: bytes moved against the measured read bandwidth",
                    "gb_per_s", "GB/s", ceiling=True)
        paths += _draw(plot, _model_panels(rows), frame, directory)
    products = good[good["level"] == "kernel"]
    for phase, column, unit in (("gemv", "gb_per_s", "GB/s"), ("gemm", "gmac_per_s", "GMAC/s")):
        rows = products[(products["phase"] == phase) & (products[column] > 0)]
        if not rows.empty:
            plot = Plot(f"kernel_{phase}_{column}", f"{phase.upper()} alone, by cache state",
                        column, unit, ceiling=phase == "gemv")
            paths += _draw(plot, _shape_panels(rows), frame, directory)
    return paths
