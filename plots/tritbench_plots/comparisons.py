"""What one choice is worth: the tiles of a kernel as bars, the layouts as speed over bits a weight.

Drawn when a file has them: several tiles of one kernel, or layouts of different density, with
everything else alike.
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from tritbench_plots.curves import product_text, test_text, threads_text
from tritbench_plots.load import excluded, proved
from tritbench_plots.order import kernel_key
from tritbench_plots.style import COLOURS, PANELS_PER_FIGURE, STYLE, caption, save, whiskers
from tritbench_plots.tables import count, significant

_LEAST_LAYOUTS = 3
_LEAST_TILES = 2
# Of a kernel with hundreds of tiles, the fastest and the slowest are enough to see the spread.
_MOST_TILES = 24


def _products(frame: pd.DataFrame) -> pd.DataFrame:
    good = proved(frame)
    return good[(good["level"] == "kernel") & (good["gmac_per_s"] > 0)]


def tile_panels(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Heading and rows, the fastest tile first, of each kernel that has several."""
    by = ["machine_id", "kernel", "n", "k", "batch", "activation_zeros", "threads", "cache_mode"]
    groups = []
    for key, rows in _products(frame).groupby(by, dropna=False):
        rows = rows.sort_values("gmac_per_s", ascending=False).drop_duplicates("tile")
        if len(rows) < _LEAST_TILES:
            continue
        if len(rows) > _MOST_TILES:
            rows = pd.concat([rows[:_MOST_TILES - 4], rows[-4:]])
        first = rows.iloc[0]
        heading = (f"{first['kernel']}\n{product_text(first)}, batch {count(first['batch'])}, "
                   f"{threads_text(first)}, {first['cache_mode']}")
        groups.append(((kernel_key(first["kernel"]), key[2:]), heading, rows))
    return [(heading, rows) for _, heading, rows in sorted(groups, key=lambda g: str(g[0]))]


def layout_panels(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Heading and rows, the fastest kernel of each layout, of each test that compares them."""
    good = proved(frame)
    good = good[(good["bits_per_weight"] > 0) & (good["layout"] != "mixed")]
    alone = good["sequences"].isna() | (good["sequences"] == 1)
    models = good[(good["level"] == "e2e") & (good["tokens_per_s"] > 0) & alone
                  & good["phase"].isin(("prefill", "decode"))].copy()
    models["speed"] = models["tokens_per_s"]
    models["of"] = [f"{r['model']}, {test_text(r)}, {threads_text(r)}"
                    for _, r in models.iterrows()]
    products = _products(good).copy()
    products["speed"] = products["gmac_per_s"]
    products["of"] = [f"{product_text(r)}, batch {count(r['batch'])}, {threads_text(r)}, "
                      f"{r['cache_mode']}" for _, r in products.iterrows()]
    panels = []
    for rows in (models, products):
        by = ["machine_id", "of", "head_type", "cache_type", "activation_zeros"]
        for key, part in rows.groupby(by, dropna=False, sort=False):
            best = part.sort_values("speed").drop_duplicates("layout", keep="last")
            if len(best) < _LEAST_LAYOUTS or best["bits_per_weight"].nunique() < 2:
                continue
            heading = str(key[1])
            for value, text in zip(key[2:4], ("head {}", "cache {}")):
                if value and rows[by[2 if text[0] == "h" else 3]].nunique() > 1:
                    heading += ", " + text.format(value)
            if rows["machine_id"].nunique() > 1:
                heading += f"\n{key[0]}"
            panels.append((heading, best))
    return panels


def _draw_tiles(axes, heading: str, rows: pd.DataFrame) -> None:
    places = range(len(rows))
    axes.barh(places, rows["gmac_per_s"], height=0.75, color=COLOURS[0], edgecolor="black",
              linewidth=0.5)
    for place, (_, row) in zip(places, rows.iterrows()):
        below, above = whiskers(row, row["gmac_per_s"])
        if not math.isnan(below):
            axes.errorbar(row["gmac_per_s"], place, xerr=[[below], [above]], color="black",
                          linewidth=0.8, capsize=2)
        end = row["gmac_per_s"] + (0 if math.isnan(above) else above)
        axes.annotate(significant(row["gmac_per_s"]), (end, place), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize=7)
    axes.set_yticks(places, [textwrap.fill(t.replace(",", ", "), 30) or "no tile"
                             for t in rows["tile"]], fontsize=6)
    axes.set_ylim(len(rows) - 0.4, -0.6)  # the fastest on top
    axes.margins(x=0.2)
    axes.set_xlim(left=0)
    axes.set_title(heading)
    axes.set_xlabel("GMAC/s")
    axes.grid(axis="x", linewidth=0.4, alpha=0.6)
    axes.set_axisbelow(True)


def _draw_layouts(axes, heading: str, rows: pd.DataFrame) -> None:
    axes.scatter(rows["bits_per_weight"], rows["speed"], s=22, color=COLOURS[0],
                 edgecolor="black", linewidth=0.5, zorder=3)
    # Names of neighbours step aside from each other.
    for i, (_, row) in enumerate(rows.sort_values(["bits_per_weight", "speed"]).iterrows()):
        axes.annotate(row["layout"], (row["bits_per_weight"], row["speed"]),
                      xytext=(5, 3 if i % 2 else -9), textcoords="offset points", fontsize=7)
    axes.set_xscale("log", base=2)
    ticks = [t for t in (1, 2, 4, 8, 16, 32) if t <= 2 * rows["bits_per_weight"].max()]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.set_ylim(0, 1.12 * rows["speed"].max())  # room for the names of the fastest
    axes.margins(x=0.15)
    axes.set_title(heading)
    axes.set_xlabel("bits per weight")
    axes.set_ylabel("tokens/s" if rows.iloc[0]["level"] == "e2e" else "GMAC/s")
    axes.grid(linewidth=0.4, alpha=0.6)
    axes.set_axisbelow(True)


def _draw(name: str, title: str, panels: list[tuple[str, pd.DataFrame]], draw_panel,
          frame: pd.DataFrame, directory: Path) -> list[Path]:
    paths: list[Path] = []
    pages = [panels[i:i + PANELS_PER_FIGURE] for i in range(0, len(panels), PANELS_PER_FIGURE)]
    for number, page in enumerate(pages, 1):
        drawn = pd.concat([rows for _, rows in page])
        columns = min(len(page), 3)
        height = math.ceil(len(page) / columns)
        bars = max(len(rows) for _, rows in page) if draw_panel is _draw_tiles else 12
        size = (5.2 * columns + 0.6, height * (1.2 + 0.21 * max(bars, 8)) + 1.2)
        text = textwrap.fill(caption(drawn, len(excluded(frame))), int(size[0] * 16))
        with plt.rc_context(STYLE):
            figure, grid = plt.subplots(height, columns, figsize=size, squeeze=False)
            for axes, (heading, rows) in zip(grid.flat, page):
                draw_panel(axes, heading, rows)
            for axes in grid.flat[len(page):]:
                axes.set_visible(False)
            whole = title + (f" ({number} of {len(pages)})" if len(pages) > 1 else "")
            figure.text(0.02, 1 - 0.3 / size[1], whole, fontsize=12, fontweight="bold")
            figure.text(0.02, 0.1 / size[1], text, fontsize=7, va="bottom")
            bottom = (0.25 + 0.13 * text.count("\n")) / size[1] + 0.02
            figure.tight_layout(rect=(0, bottom, 1, 1 - 0.45 / size[1]))
            paths += save(figure, directory, name + (f"-{number}" if number > 1 else ""))
    return paths


def draw_comparisons(frame: pd.DataFrame, directory: str | Path) -> list[Path]:
    """Tiles and layouts as far as the rows have them; the paths written. Raises OSError."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, title, panels, draw_panel in (
            ("by_tile", "Speed by tile", tile_panels(frame), _draw_tiles),
            ("by_layout", "Speed by bits per weight, the best kernel of each layout",
             layout_panels(frame), _draw_layouts)):
        if panels:
            paths += _draw(name, title, panels, draw_panel, frame, directory)
    return paths
