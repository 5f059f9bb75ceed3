"""python -m tritbench_plots table FILE...   |   figures FILE... -o DIR   |   bars FILE...
|   gbench FILE.json FILE...

Exit codes: 0 right, 1 no row may be shown or a bar is not met, 2 bad usage or bad input.
"""

from __future__ import annotations

import argparse
import sys
from typing import Sequence

import pandas as pd

from tritbench_plots import __version__, tables
from tritbench_plots.load import LoadError, load


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tritbench_plots", description="Tables and figures from tritbench result files.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    table = commands.add_parser("table", help="speed-ups of models, and figures of bare products")
    table.add_argument("files", nargs="+", metavar="FILE", help="CSV files of results")
    form = table.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="as a Markdown table")
    form.add_argument("--csv", action="store_true", help="the speed-up table as CSV, not rounded")
    table.add_argument("--level", choices=("all", "e2e", "kernel"), default="all",
                       help="whole models, bare products, or both (default)")
    draw = commands.add_parser("figures", help="PNG and SVG figures")
    draw.add_argument("files", nargs="+", metavar="FILE", help="CSV files of results")
    draw.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write to")
    bars = commands.add_parser("bars", help="what kernels were asked to reach, and where they are")
    bars.add_argument("files", nargs="+", metavar="FILE", help="CSV files of experiments/records")
    bars.add_argument("--bars", default="experiments/bars/records.toml", metavar="TOML",
                      help="what is asked (default: %(default)s)")
    bars.add_argument("--markdown", action="store_true", help="as a Markdown table")
    side = commands.add_parser("gbench", help="Google Benchmark's figures beside tritbench's")
    side.add_argument("json", metavar="JSON", help="what tritbench_gbench --benchmark_out wrote")
    side.add_argument("files", nargs="+", metavar="FILE", help="CSV files of the same products")
    side.add_argument("--markdown", action="store_true", help="as a Markdown table")
    return parser


def _complain(text: str) -> None:
    print(f"tritbench_plots: {text}", file=sys.stderr)


def render_tables(frame: pd.DataFrame, markdown: bool, level: str = "all") -> str:
    """Both tables with their notes; empty if no row may be shown."""
    form = tables.as_markdown if markdown else tables.as_text
    blocks: list[str] = []
    speedups = tables.speedup_table(frame) if level in ("all", "e2e") else pd.DataFrame()
    if not speedups.empty:
        text = form(tables.speedup_cells(speedups))
        blocks += [text, tables.NOTE_SPEEDUP]
        if "~" in text:
            blocks.append(tables.NOTE_LIMIT)
    products = tables.kernel_table(frame) if level in ("all", "kernel") else pd.DataFrame()
    if not products.empty:
        blocks.append(form(tables.kernel_cells(products)))
    return "\n\n".join(blocks)


def _table(options: argparse.Namespace) -> int:
    frame = load(options.files)
    if options.csv:
        make = tables.kernel_table if options.level == "kernel" else tables.speedup_table
        table = make(frame)
        text = "" if table.empty else table.to_csv(index=False).rstrip("\n")
    else:
        text = render_tables(frame, options.markdown, options.level)
    if text:
        print(text)
    if text and not (options.csv or options.markdown):
        print()
    notes = [*tables.excluded_lines(frame), tables.noise_line(frame)]
    for note in filter(None, notes):
        # Beside a table for machines, notes must not get in the way.
        print(note, file=sys.stderr if options.csv or options.markdown else sys.stdout)
    if not text:
        _complain(f"{', '.join(options.files)}: no proved row to show")
    return 0 if text else 1


def _figures(options: argparse.Namespace) -> int:
    # matplotlib takes a second to load
    from tritbench_plots.comparisons import draw_comparisons
    from tritbench_plots.curves import draw_curves
    from tritbench_plots.figures import draw_all

    frame = load(options.files)
    try:
        paths = [path for draw in (draw_all, draw_curves, draw_comparisons)
                 for path in draw(frame, options.output)]
    except OSError as problem:
        raise LoadError(f"{options.output}: cannot write figures: {problem.strerror}; "
                        "name a folder that can be written with -o") from None
    for path in paths:
        print(path)
    if not paths:
        _complain(f"{', '.join(options.files)}: no proved row to draw")
    return 0 if paths else 1


def _bars(options: argparse.Namespace) -> int:
    from tritbench_plots.bars import bars_cells, bars_table, read_bars
    from tritbench_plots.tables import NOTE_LIMIT

    asked = read_bars(options.bars)
    table = bars_table(load(options.files), asked)
    if table.empty:
        _complain(f"{', '.join(options.files)}: no proved row of a bare product to hold a bar to")
        return 1
    form = tables.as_markdown if options.markdown else tables.as_text
    text = form(bars_cells(table))
    print(text)
    if "~" in text:
        print(f"\n{NOTE_LIMIT}")
    verdicts = table["verdict"].value_counts()
    print("\n" + ", ".join(f"{verdicts.get(v, 0)} {v}" for v in ("met", "not met", "not measured")))
    return 0 if (table["verdict"] == "met").all() else 1


def _gbench(options: argparse.Namespace) -> int:
    from tritbench_plots.gbench import load_gbench, ratio_line, side_by_side, side_by_side_cells

    table = side_by_side(load(options.files), load_gbench(options.json))
    if table.empty:
        _complain(f"{options.json}: has no product that is also in {', '.join(options.files)}")
        return 1
    form = tables.as_markdown if options.markdown else tables.as_text
    print(form(side_by_side_cells(table)))
    print("\n" + ratio_line(table))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return {"table": _table, "figures": _figures, "bars": _bars,
                "gbench": _gbench}[options.command](options)
    except LoadError as problem:
        _complain(str(problem))
        return 2
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
