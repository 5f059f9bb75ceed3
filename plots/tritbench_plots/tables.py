"""The speed-up table of models and the table of bare products, as frames and as text.

Only proved rows enter (load.proved). A baseline that was not measured leaves an empty cell.
"""

from __future__ import annotations

import math
from itertools import zip_longest

import pandas as pd

from tritbench_plots.load import PROOFS, excluded, proved
from tritbench_plots.order import kernel_key, models_in_order

# Layouts that speed-ups are taken over.
BASELINES = ("f16", "int8")

NOTE_SPEEDUP = (
    "x f16, x int8: tokens/s over those of the fastest f16 kernel and the fastest naive int8 "
    "kernel of the same file, machine, model, threads and test; empty: that kernel was not "
    "measured with this test. Rows of the same rounds are compared round by round (control_ratio). "
    "GB/s and % of read bandwidth are of decode."
)
NOTE_LIMIT = (
    "~ before a ratio: nearer to 1 than one cell measured twice was to itself in the same block "
    "(aa_limit_pct), so that no difference is claimed."
)

_GROUP = ["source", "machine_id", "model", "threads", "head_type", "cache_type"]


# ---- whole models --------------------------------------------------------------------------------

def _best_of_layout(phase_rows: pd.DataFrame, layout: str) -> dict[tuple, pd.Series | None]:
    """The row of a layout with the most tokens/s, per group and test; the baseline of a speed-up.

    A test that the layout's fastest kernel did not take has no baseline: where only the scalar
    kernels were given four tokens, nothing there is a speed-up over f16.
    """
    rows = phase_rows[phase_rows["layout"] == layout]
    best = rows.sort_values("tokens_per_s").groupby(_GROUP)["kernel"].last()

    def fastest(test: pd.DataFrame) -> pd.Series | None:
        champion = best[tuple(test.iloc[0][c] for c in _GROUP)]
        return test.loc[test["tokens_per_s"].idxmax()] if champion in set(test["kernel"]) else None

    return {name: fastest(test) for name, test in rows.groupby([*_GROUP, "test"])}


def time_ratio(slow: pd.Series, fast: pd.Series) -> float:
    """How many times as long one row took as another: by their ratios to the control where both
    were in rounds with the same one, in which drift cancels, else by their medians."""
    same = slow["control"] != "" and all(slow[c] == fast[c] for c in ("run_id", "control"))
    if same and slow["control_ratio"] > 0 and fast["control_ratio"] > 0:
        return slow["control_ratio"] / fast["control_ratio"]
    return slow["median_ns"] / fast["median_ns"]


def below_limit(ratio: float, *limits_pct: float) -> bool:
    """Whether a ratio is nearer to 1 than the A/A controls of its two sides allow to claim; False
    where neither side had a control."""
    known = [limit for limit in limits_pct if not math.isnan(limit)]
    if not known or not ratio > 0:
        return False
    return 100 * (max(ratio, 1 / ratio) - 1) < max(known)


def _phase_rows(frame: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Rows of one phase with `test` (tokens of a prefill, or depth of a decode) and speed-ups."""
    alone = frame["sequences"].isna() | (frame["sequences"] == 1)
    rows = frame[(frame["level"] == "e2e") & (frame["phase"] == phase) & alone].copy()
    rows["test"] = rows["batch" if phase == "prefill" else "depth_tokens"].fillna(-1)
    for layout in BASELINES:
        bases = _best_of_layout(rows, layout)
        over = [_over(row, bases.get(tuple(row[c] for c in (*_GROUP, "test"))))
                for _, row in rows.iterrows()]
        rows[f"over_{layout}"] = [ratio for ratio, _ in over]
        rows[f"unclear_{layout}"] = [unclear for _, unclear in over]
    return rows


def _over(row: pd.Series, base: pd.Series | None) -> tuple[float, bool]:
    """How many times as fast as a baseline, and whether that is too little to be claimed."""
    if base is None:
        return math.nan, False
    ratio = time_ratio(base, row)
    # A row beside itself is exactly 1, and claims nothing.
    return ratio, ratio != 1 and below_limit(ratio, row["aa_limit_pct"], base["aa_limit_pct"])


def _first(row: pd.Series | None, column: str) -> float:
    return math.nan if row is None else float(row[column])


def _speed_row(prefill: pd.Series | None, decode: pd.Series | None) -> dict[str, object]:
    any_row = prefill if prefill is not None else decode
    proofs = [r["verified"] for r in (prefill, decode) if r is not None]
    out: dict[str, object] = {c: any_row[c] for c in (
        "machine_id", "source", "model", "tile", "threads", "head_type", "cache_type",
        "bits_per_weight")}
    out["kernel"] = any_row["runner"]
    for phase, row in (("prefill", prefill), ("decode", decode)):
        out[f"{phase}_test"] = _first(row, "test")
        out[f"{phase}_tokens_per_s"] = _first(row, "tokens_per_s")
        for layout in BASELINES:
            out[f"{phase}_over_{layout}"] = _first(row, f"over_{layout}")
            out[f"{phase}_unclear_{layout}"] = row is not None and bool(row[f"unclear_{layout}"])
    out["decode_gb_per_s"] = _first(decode, "gb_per_s")
    out["decode_pct_of_ceiling"] = _first(decode, "pct_of_ceiling")
    out["proof"] = "/".join(dict.fromkeys(proofs))
    marks = [m for r in (prefill, decode) if r is not None for m in str(r["noise"]).split()]
    out["noise"] = " ".join(dict.fromkeys(marks))
    return out


def speedup_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One line per model, kernel and thread count, in the order they should be read.

    A kernel measured with several prefill lengths or depths has several lines; each figure appears
    once, so that prefill and decode of one line need not belong together. Sequences that were
    decoded together, and prompts timed with what was decoded after them, are left out.
    """
    good = proved(frame)
    phases = {p: _phase_rows(good, p) for p in ("prefill", "decode")}
    key = [*_GROUP, "runner", "tile", "pins", "cache_mode"]
    cells: dict[tuple, dict[str, list[pd.Series]]] = {}
    for phase, rows in phases.items():
        for name, group in rows.sort_values("test").groupby(key, dropna=False):
            cells.setdefault(name, {})[phase] = [row for _, row in group.iterrows()]
    models = models_in_order(good[good["level"] == "e2e"])

    def order(name: tuple) -> tuple:
        part = dict(zip(key, name))
        return (part["source"], part["machine_id"], models.index(part["model"]), part["threads"],
                part["head_type"], part["cache_type"], kernel_key(part["runner"]), part["tile"],
                part["pins"], part["cache_mode"])

    lines = []
    for name in sorted(cells, key=order):
        both = cells[name]
        for prefill, decode in zip_longest(both.get("prefill", []), both.get("decode", [])):
            lines.append(_speed_row(prefill, decode))
    return pd.DataFrame(lines)


# ---- bare products -------------------------------------------------------------------------------

def kernel_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One line per shape, batch, threads and kernel, hot and cold beside each other."""
    good = proved(frame)
    rows = good[good["level"] == "kernel"]
    if rows.empty:
        return pd.DataFrame()
    key = ["source", "machine_id", "phase", "n", "k", "batch", "threads", "kernel", "tile", "pins"]
    lines = []
    for name, group in rows.groupby(key, dropna=False):
        line: dict[str, object] = dict(zip(key, name))
        for mode, row in ((r["cache_mode"] or "any", r) for _, r in group.iterrows()):
            line[f"{mode}_us"] = row["median_ns"] / 1e3
            for column in ("gmac_per_s", "gb_per_s", "pct_of_ceiling"):
                line[f"{mode}_{column}"] = row[column]
        line["proof"] = "/".join(dict.fromkeys(group["verified"]))
        lines.append(line)
    table = pd.DataFrame(lines)
    table["_kernel"] = table["kernel"].map(kernel_key)
    table["_size"] = table["n"] * table["k"]
    table["_gemm"] = table["phase"] != "gemv"
    by = ["source", "machine_id", "_gemm", "phase", "_size", "n", "k", "batch", "threads",
          "_kernel", "tile", "pins"]
    return table.sort_values(by).drop(columns=["_kernel", "_size", "_gemm"]).reset_index(drop=True)


# ---- as text -------------------------------------------------------------------------------------

def significant(value: object) -> str:
    """A figure with three significant digits, all digits before the point; nothing if unknown."""
    number = float(value)  # type: ignore[arg-type]
    if math.isnan(number):
        return ""
    rounded = abs(float(f"{number:.3g}"))  # 9.996 is 10.0, not 10.00
    digits = 2 if rounded == 0 else min(max(2 - math.floor(math.log10(rounded)), 0), 5)
    return f"{number:.{digits}f}"


def count(value: object) -> str:
    number = float(value)  # type: ignore[arg-type]
    return "" if math.isnan(number) or number < 0 else f"{number:.0f}"


def _times(value: object, unclear: bool = False) -> str:
    number = float(value)  # type: ignore[arg-type]
    return "" if math.isnan(number) else f"{'~' if unclear else ''}{number:.2f}x"


def _percent(value: object) -> str:
    text = significant(value)
    return f"{text}%" if text else ""


def _name_sources(table: pd.DataFrame) -> dict[str, list[str]]:
    """Columns that tell lines apart only where there is more than one file or machine."""
    out: dict[str, list[str]] = {}
    if table["machine_id"].nunique() > 1:
        out["machine"] = [str(m) for m in table["machine_id"]]
    elif table["source"].nunique() > 1:
        out["file"] = [str(s) for s in table["source"]]
    return out


def _with_tile(table: pd.DataFrame) -> list[str]:
    return [f"{k} {t}".strip() for k, t in zip(table["kernel"], table["tile"])]


def _test_heading(phase: str, tests: pd.Series) -> tuple[str, list[str]]:
    """Heading of the tokens/s column, and a column of tests where one heading cannot say them."""
    texts = [count(v) for v in tests]
    named = {t for t in texts if t}
    if len(named) > 1:
        return f"{phase} tok/s", texts
    test = next(iter(named), "")
    if phase == "decode":
        test = f"@{test}" if test not in ("", "0") else ""
    return (f"{phase}({test}) tok/s" if test else f"{phase} tok/s"), []


def speedup_cells(table: pd.DataFrame) -> dict[str, list[str]]:
    """The speed-up table as column heading -> cells of text."""
    cells = _name_sources(table)
    cells["model"] = list(table["model"])
    cells["kernel"] = _with_tile(table)
    for column, heading in (("head_type", "head"), ("cache_type", "cache")):
        if table[column].nunique() > 1:
            cells[heading] = list(table[column])
    cells["threads"] = [count(v) for v in table["threads"]]
    for phase in ("prefill", "decode"):
        heading, tests = _test_heading(phase, table[f"{phase}_test"])
        if tests:
            cells["prompt" if phase == "prefill" else "depth"] = tests
        cells[heading] = [significant(v) for v in table[f"{phase}_tokens_per_s"]]
        for layout in BASELINES:
            cells[f"{phase} x {layout}"] = [
                _times(ratio, unclear) for ratio, unclear in
                zip(table[f"{phase}_over_{layout}"], table[f"{phase}_unclear_{layout}"])]
    cells["bits/weight"] = [significant(v) for v in table["bits_per_weight"]]
    cells["GB/s"] = [significant(v) for v in table["decode_gb_per_s"]]
    cells["% of read bw"] = [_percent(v) for v in table["decode_pct_of_ceiling"]]
    cells["proof"] = list(table["proof"])
    return cells


def kernel_cells(table: pd.DataFrame) -> dict[str, list[str]]:
    """The kernel table as column heading -> cells of text."""
    cells = _name_sources(table)
    cells["phase"] = list(table["phase"])
    cells["shape N x K"] = [f"{count(n)}x{count(k)}" for n, k in zip(table["n"], table["k"])]
    cells["batch"] = [count(v) for v in table["batch"]]
    cells["threads"] = [count(v) for v in table["threads"]]
    cells["kernel"] = _with_tile(table)
    for mode in [c[:-3] for c in table.columns if c.endswith("_us")]:
        label = "" if mode == "any" else f"{mode} "
        cells[f"{label}us"] = [significant(v) for v in table[f"{mode}_us"]]
        cells[f"{label}GMAC/s"] = [significant(v) for v in table[f"{mode}_gmac_per_s"]]
        cells[f"{label}GB/s"] = [significant(v) for v in table[f"{mode}_gb_per_s"]]
        cells[f"{label}% ceiling"] = [_percent(v) for v in table[f"{mode}_pct_of_ceiling"]]
    cells["proof"] = list(table["proof"])
    return cells


_WORDS = {"machine", "file", "model", "kernel", "head", "cache", "phase", "proof", "bar", "verdict"}  # aligned to the left


def as_text(cells: dict[str, list[str]]) -> str:
    """Aligned columns; words to the left, figures to the right. Headings wrap to two lines;
    an empty line parts models, and phases."""
    heads = {h: _two_lines(h) for h in cells}
    widths = {h: max(map(len, [*heads[h], *cells[h]])) for h in cells}
    def line(parts: dict[str, str]) -> str:
        fields = (parts[h].ljust(widths[h]) if h in _WORDS else parts[h].rjust(widths[h])
                  for h in cells)
        return "  ".join(fields).rstrip()

    rows = len(next(iter(cells.values())))
    out = [line({h: heads[h][i] for h in cells}) for i in (0, 1)]
    out.append("  ".join("-" * widths[h] for h in cells))
    group = cells.get("model") or cells.get("phase") or [""] * rows
    for i in range(rows):
        if i and group[i] != group[i - 1]:
            out.append("")
        out.append(line({h: cells[h][i] for h in cells}))
    return "\n".join(out)


def _two_lines(heading: str) -> tuple[str, str]:
    first, _, rest = heading.partition(" ")
    return (first, rest) if rest else ("", first)


def as_markdown(cells: dict[str, list[str]]) -> str:
    out = ["| " + " | ".join(cells) + " |",
           "|" + "|".join(" --- " if h in _WORDS else " ---: " for h in cells) + "|"]
    for row in zip(*cells.values()):
        out.append("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |")
    return "\n".join(out)


def _why_excluded(row: pd.Series) -> str:
    why = row["status"]
    if why == "ok":
        why = "no time" if row["verified"] in PROOFS else f"proof {row['verified'] or 'missing'}"
    return f"{why}: {row['reason']}" if row["reason"] else why


def excluded_lines(frame: pd.DataFrame, limit: int = 12) -> list[str]:
    """Why rows are not in the tables, rows with the same reason together."""
    rows = excluded(frame)
    if rows.empty:
        return []
    reasons = rows.assign(why=[_why_excluded(row) for _, row in rows.iterrows()])
    groups = reasons.groupby(["kernel", "why"], sort=False).size()
    lines = [f"  {kernel}: {text} ({n} row{'s' if n > 1 else ''})"
             for (kernel, text), n in groups.items()]
    if len(lines) > limit:
        lines = [*lines[:limit], f"  and {len(lines) - limit} more"]
    return [f"Not in the tables ({len(rows)} of {len(frame)} rows):", *lines]


def noise_line(frame: pd.DataFrame) -> str:
    """How many proved rows carry noise marks, by mark; empty if none."""
    marks: dict[str, int] = {}
    good = proved(frame)
    for text in good["noise"]:
        for mark in set(text.split()):
            marks[mark] = marks.get(mark, 0) + 1
    if not marks:
        return ""
    parts = ", ".join(f"{mark} {n}" for mark, n in sorted(marks.items()))
    return f"Noise marks on {len(good)} measured rows: {parts} (see results/SCHEMA.md)."
