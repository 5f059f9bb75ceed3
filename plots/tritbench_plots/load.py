"""Reads tritbench result files into one pandas frame.

Numbers are floats with NaN for empty cells: empty means unknown, never zero. Text columns are
strings, empty where the file is. Anything that is not as results/SCHEMA.md says raises LoadError
with one line that names the file, the line, the column, what was found and what was expected.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Iterable, Sequence

import pandas as pd

from tritbench_plots.order import split_id

SUPPORTED_SCHEMA_VERSIONS = (1, 2, 3, 4, 5)

# The columns of results/SCHEMA.md that this package reads, by type. Others are kept as text, so
# that a file of a newer minor layout still loads.
NUMBER_COLUMNS = (
    "bits_per_weight", "n", "k", "batch", "model_file_bytes", "depth_tokens", "threads",
    "warmups", "repetitions", "calls_per_repetition", "median_ns", "mad_ns", "ci95_lo_ns",
    "ci95_hi_ns", "min_ns", "prepare_median_ns", "tokens_per_s", "gmac_per_s", "bytes",
    "footprint_bytes", "gb_per_s", "ceiling_gb_per_s", "pct_of_ceiling", "peak_rss_bytes",
)
TEXT_COLUMNS = (
    "run_id", "utc", "git_revision", "git_dirty", "compiler", "machine_id", "cpu", "isa_path",
    "spec", "level", "kernel", "layout", "exactness", "tile", "model", "phase", "pins",
    "cache_mode", "ceiling_probe", "logits_hash", "verified", "noise", "status", "reason",
)
# Columns of later versions that are read; files of earlier ones do not have them, so that every
# field of theirs is unknown.
NUMBER_COLUMNS_3 = (
    "activation_zeros", "model_parameters", "prompt_tokens", "generated_tokens", "sequences",
    "prefill_batch", "max_ns", "p95_ns", "p99_ns", "first_token_ms", "load_ms",
    "tokens_per_s_no_head", "product_gmac_per_s", "product_pct_of_peak", "role_prepare_ns",
    "role_product_ns", "role_attention_ns", "role_head_ns", "role_other_ns",
    "pct_outside_products",
)
TEXT_COLUMNS_3 = ("plan", "head_type", "cache_type")
NUMBER_COLUMNS_4 = ("layers_distinct", "layers_run", "extrapolated_pct")
TEXT_COLUMNS_4 = ("model_mode",)
NUMBER_COLUMNS_5 = ("ci95_pct", "control_ratio", "aa_ratio_lo", "aa_ratio_hi", "aa_limit_pct")
TEXT_COLUMNS_5 = ("stop_reason", "control")
LATER_NUMBER_COLUMNS = (*NUMBER_COLUMNS_3, *NUMBER_COLUMNS_4, *NUMBER_COLUMNS_5)
LATER_TEXT_COLUMNS = (*TEXT_COLUMNS_3, *TEXT_COLUMNS_4, *TEXT_COLUMNS_5)
# By the version that brought them.
LATER_COLUMNS = {3: (*TEXT_COLUMNS_3, *NUMBER_COLUMNS_3), 4: (*TEXT_COLUMNS_4, *NUMBER_COLUMNS_4),
                 5: (*TEXT_COLUMNS_5, *NUMBER_COLUMNS_5)}
LEVELS = ("kernel", "e2e")
PROOFS = ("bitexact", "bounded")
STATUSES = ("ok", "failed", "unavailable", "crashed", "timeout", "error")
VERIFIED = (*PROOFS, "no", "")

# What makes two rows measurements of the same thing on the same machine.
IDENTITY = ("source", "machine_id", "level", "kernel", "tile", "model", "n", "k", "batch",
            "activation_zeros", "phase", "depth_tokens", "threads", "pins", "cache_mode", "plan",
            "head_type", "cache_type", "prompt_tokens", "generated_tokens", "sequences",
            "prefill_batch", "model_mode", "layers_distinct", "layers_run")


class LoadError(Exception):
    """A result file that cannot be read, in one line."""


def _read_rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LoadError(f"{path}: no such file; expected a CSV of 'tritbench sweep'") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise LoadError(f"{path}: cannot be read as a text file: {problem}") from None
    header, rows = _split(path, text)
    # A killed writer leaves at most one row cut short, and no newline after it: not a measurement.
    if not text.endswith("\n") and rows and len(rows[-1][1]) != len(header):
        rows.pop()
    return header, rows


def _split(path: Path, text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The fields of the header, and of each row with its line number."""
    reader = csv.reader(text.splitlines(keepends=True))
    try:
        rows = [(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as problem:
        raise LoadError(f"{path}: line {reader.line_num}: not CSV: {problem}") from None
    if not rows:
        raise LoadError(f"{path}: is empty; expected a header line and rows (results/SCHEMA.md)")
    return rows[0][1], rows[1:]


def _check_header(path: Path, header: Sequence[str]) -> None:
    missing = [c for c in ("schema_version", *TEXT_COLUMNS, *NUMBER_COLUMNS) if c not in header]
    if "schema_version" in missing:
        raise LoadError(f"{path}: line 1: no column schema_version; not a tritbench result file")
    if missing:
        raise LoadError(f"{path}: line 1: missing column {', '.join(missing)} (results/SCHEMA.md)")
    if len(set(header)) != len(header):
        twice = sorted({c for c in header if header.count(c) > 1})
        raise LoadError(f"{path}: line 1: column {', '.join(twice)} appears twice")


def _number(path: Path, line: int, column: str, text: str) -> float:
    if text == "":
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LoadError(f"{path}: line {line}: column {column}: found {text!r}, expected a number "
                        "or nothing")
    return value


def _choice(path: Path, line: int, column: str, text: str, allowed: Iterable[str]) -> str:
    if text not in allowed:
        names = ", ".join(a for a in allowed if a)
        raise LoadError(f"{path}: line {line}: column {column}: found {text!r}, expected {names}")
    return text


def _parse_row(path: Path, line: int, cells: dict[str, str]) -> dict[str, object]:
    version = cells["schema_version"]
    if version not in {str(v) for v in SUPPORTED_SCHEMA_VERSIONS}:
        known = ", ".join(map(str, SUPPORTED_SCHEMA_VERSIONS))
        raise LoadError(f"{path}: line {line}: schema_version is {version!r}, this program reads "
                        f"{known}; use the tritbench that wrote the file")
    _choice(path, line, "level", cells["level"], LEVELS)
    _choice(path, line, "status", cells["status"], STATUSES)
    _choice(path, line, "verified", cells["verified"], VERIFIED)
    missing = [c for since, columns in LATER_COLUMNS.items() if since <= int(version)
               for c in columns if c not in cells]
    if missing:
        raise LoadError(f"{path}: line 1: missing column {', '.join(missing)} "
                        "(results/SCHEMA.md)")
    row: dict[str, object] = dict.fromkeys(LATER_TEXT_COLUMNS, "")
    row.update(cells)
    for column in (*NUMBER_COLUMNS, *LATER_NUMBER_COLUMNS):
        row[column] = _number(path, line, column, cells.get(column, ""))
    # What a bar or a line is called: a kernel, or the plan that chose several.
    plan = str(row["plan"])
    row["runner"] = cells["kernel"] if plan in ("", cells["kernel"]) else f"plan {plan}"
    # A kernel's id is <layout>_<isa>[_<tag>]: enough where a row failed before that was known.
    row["layout"] = cells["layout"] or split_id(cells["kernel"])[0]
    row["source"] = str(path)
    row["line"] = line
    return row


def load_file(path: str | Path) -> pd.DataFrame:
    """One result file; raises LoadError."""
    path = Path(path)
    header, rows = _read_rows(path)
    _check_header(path, header)
    parsed = []
    for line, fields in rows:
        if len(fields) != len(header):
            raise LoadError(f"{path}: line {line}: {len(fields)} fields, expected {len(header)}")
        parsed.append(_parse_row(path, line, dict(zip(header, fields))))
    if not parsed:
        raise LoadError(f"{path}: has a header but no rows; run the sweep first")
    return pd.DataFrame(parsed)


def load(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Several files as one frame, each row with its `source` and `line`; raises LoadError.

    Within one file a later row replaces an earlier one of the same cell: a sweep that was resumed
    after a kernel changed appends, and the last word counts, also when it is a failure.
    """
    unique = list(dict.fromkeys(str(Path(p)) for p in paths))
    if not unique:
        raise LoadError("no result file given")
    frame = pd.concat([load_file(p) for p in unique], ignore_index=True)
    return frame.drop_duplicates(subset=list(IDENTITY), keep="last").reset_index(drop=True)


def proved(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that may enter a table of speeds: run to the end, and proved right."""
    return frame[_is_proved(frame)].reset_index(drop=True)


def excluded(frame: pd.DataFrame) -> pd.DataFrame:
    """The others, to be named with their reasons."""
    return frame[~_is_proved(frame)].reset_index(drop=True)


def _is_proved(frame: pd.DataFrame) -> pd.Series:
    return (frame["status"] == "ok") & frame["verified"].isin(PROOFS) & (frame["median_ns"] > 0)
