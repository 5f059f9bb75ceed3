"""Result files under kills, interrupts, full disks, two writers and edits: nothing measured is lost,
doubled or mixed."""

import json
import os
import random
import resource
import signal
import statistics
import subprocess
import time
from pathlib import Path

import pandas
import pytest

# Long enough to be interrupted in the middle: one cell a block, each over a second.
LONG_SPEC = """
name = "long"
[[kernel_cells]]
shapes = ["256x256", "256x384", "256x512", "384x256", "384x384", "384x512"]
kernels = ["i2s_scalar"]
repetitions = 150
"""
LONG_CELLS = 6

# Many cells of a fraction of a second.
SHORT_SPEC = """
name = "short"
[[kernel_cells]]
shapes = [{shapes}]
kernels = ["i2s_scalar", "int8_scalar"]
batch = 3
repetitions = 6
"""


def short_spec(path, rows):
    shapes = ", ".join(f'"{n}x128"' for n in rows)
    path.write_text(SHORT_SPEC.format(shapes=shapes))
    return path


def sweep(tritbench, spec, out, *more, **kwargs):
    return subprocess.run([tritbench, "sweep", str(spec), "-o", str(out), "-q", *more],
                          capture_output=True, text=True, timeout=300, check=False, **kwargs)


def start(tritbench, spec, out, **kwargs):
    return subprocess.Popen([tritbench, "sweep", str(spec), "-o", str(out), "-q"],
                            stderr=subprocess.PIPE, text=True, **kwargs)


def read_rows(path):
    return pandas.read_csv(path, dtype={"cell_key": str})


def rows_in(path):
    return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0


def samples_of(out):
    lines = out.with_suffix(".samples.jsonl").read_text().splitlines()
    return [(s["cell_key"], s["samples_ns"]) for s in map(json.loads, lines)]


def start_and_wait_for_rows(tritbench, spec, out, rows, **kwargs):
    process = start(tritbench, spec, out, **kwargs)
    deadline = time.monotonic() + 240
    while rows_in(out) < rows and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return process


def expect_whole(out, cells):
    """Each cell once, of one run, with all of its own samples."""
    frame = read_rows(out)
    assert len(frame) == cells
    assert frame["cell_key"].nunique() == cells
    assert (frame["status"] == "ok").all()
    assert frame["run_id"].nunique() == 1
    samples = samples_of(out)
    assert sorted(key for key, _ in samples) == sorted(frame["cell_key"])
    samples = dict(samples)
    for row in frame.itertuples():
        assert len(samples[row.cell_key]) == row.repetitions
        assert statistics.median(samples[row.cell_key]) == pytest.approx(row.median_ns, abs=0.06)
    assert json.loads(out.with_suffix(".state.json").read_text())["complete"] is True
    assert list(out.parent.glob("*.partial")) == []


def expect_refused(result, *words):
    assert result.returncode == 2, result
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0], lines[0]


# ---- interrupts ---------------------------------------------------------------------------------

def test_ctrl_c_keeps_rows_and_resumes(tritbench, tmp_path):
    spec = tmp_path / "long.toml"
    spec.write_text(LONG_SPEC)
    out = tmp_path / "out.csv"
    process = start_and_wait_for_rows(tritbench, spec, out, 2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert f"resume with: tritbench sweep {spec} -o {out}" in stderr
    kept = out.read_bytes()
    assert 2 <= rows_in(out) < LONG_CELLS
    assert json.loads(out.with_suffix(".state.json").read_text())["complete"] is False
    result = sweep(tritbench, spec, out)
    assert result.returncode == 0, result.stderr
    assert "resumed" in result.stderr
    assert out.read_bytes().startswith(kept)
    expect_whole(out, LONG_CELLS)


def wait_for_a_write(out, process, moment):
    """Until one of the files has grown: between the samples and their row, or right after it."""
    def sizes():
        paths = (out, out.with_suffix(".samples.jsonl"))
        return [path.stat().st_size if path.exists() else 0 for path in paths]
    before, deadline = sizes(), time.monotonic() + 60
    while sizes() == before and process.poll() is None and time.monotonic() < deadline:
        pass
    time.sleep(moment)


def test_twenty_kills_lose_no_row_and_leave_no_child(tritbench, tmp_path):
    spec = short_spec(tmp_path / "short.toml", range(64, 64 + 24 * 16, 16))
    cells, kills = 48, 0
    out = tmp_path / "out.csv"
    chance = random.Random(20)
    kept = b""
    for turn in range(20):
        process = start(tritbench, spec, out)
        if turn % 2:
            wait_for_a_write(out, process, chance.choice([0, 0.0005, 0.002]))
        else:
            time.sleep(chance.uniform(0, 1.0))
        process.kill()
        process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGKILL, 0)
        if process.returncode == 0:
            break
        kills += 1
        now = out.read_bytes() if out.exists() else b""
        # What was on the disk stays as it was: rows are appended, no more.
        assert now.startswith(kept)
        kept = now[:now.rfind(b"\n") + 1]
    assert kills >= 8
    # A kill between write and sync may also tear the last lines: make it so.
    with out.open("ab") as file:
        file.write(b"1,half-a-row,2026-")
    with out.with_suffix(".samples.jsonl").open("ab") as file:
        file.write(b'{"run_id": "half')
    result = sweep(tritbench, spec, out, "--resume")
    assert result.returncode == 0, result.stderr
    assert out.read_bytes().startswith(kept)
    expect_whole(out, cells)
    needle = str(out).encode()
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert needle not in cmdline.read_bytes(), cmdline
        except OSError:
            continue


def test_a_second_sweep_into_the_file_is_refused(tritbench, tmp_path):
    spec = tmp_path / "long.toml"
    spec.write_text(LONG_SPEC)
    out = tmp_path / "out.csv"
    first = start_and_wait_for_rows(tritbench, spec, out, 1)
    for option in ([], ["--resume"], ["--fresh"]):
        expect_refused(sweep(tritbench, spec, out, *option), "out.csv",
                       f"another tritbench (process {first.pid}) is writing it")
    _, stderr = first.communicate(timeout=240)
    assert first.returncode == 0, stderr
    expect_whole(out, LONG_CELLS)


# ---- full disks ---------------------------------------------------------------------------------

def expect_stopped_then_resumed(tritbench, spec, out, process, make_room):
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 2, stderr
    message = stderr.strip().splitlines()[-1]
    assert "cannot be written: " in message and "rows before it are kept" in message, stderr
    kept = out.read_bytes()
    assert kept.endswith(b"\n") and 2 <= rows_in(out) < LONG_CELLS
    make_room()
    result = sweep(tritbench, spec, out)
    assert result.returncode == 0, result.stderr
    assert out.read_bytes().startswith(kept)
    expect_whole(out, LONG_CELLS)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
                             capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_no_row(tritbench, tmp_path, small_disk):
    spec = tmp_path / "long.toml"
    spec.write_text(LONG_SPEC)
    out = small_disk / "out.csv"
    process = start_and_wait_for_rows(tritbench, spec, out, 2)
    ballast = small_disk / "ballast"
    # Files take whole pages: what is left of the last ones is used up by lines as long.
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    expect_stopped_then_resumed(tritbench, spec, out, process, ballast.unlink)


def test_a_limit_of_file_sizes_loses_no_row(tritbench, tmp_path):
    spec = tmp_path / "long.toml"
    spec.write_text(LONG_SPEC)
    out = tmp_path / "out.csv"

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    process = start(tritbench, spec, out, preexec_fn=limit)
    expect_stopped_then_resumed(tritbench, spec, out, process, lambda: None)


# ---- edits --------------------------------------------------------------------------------------

def lines_by_key(out):
    rows = read_rows(out)
    return dict(zip(rows["cell_key"], out.read_text().splitlines()[1:]))


@pytest.fixture
def finished(tritbench, tmp_path):
    """A spec of four cells, measured."""
    spec = short_spec(tmp_path / "short.toml", [64, 96])
    out = tmp_path / "out.csv"
    result = sweep(tritbench, spec, out)
    assert result.returncode == 0, result.stderr
    expect_whole(out, 4)
    return spec, out


def test_resume_measures_only_what_an_edit_of_code_has_invalidated(tritbench, finished):
    spec, out = finished
    before = lines_by_key(out)
    old = sorted(before)[1]
    # As code before an edit would have left it: the same cell under another key.
    for path in (out, out.with_suffix(".samples.jsonl")):
        path.write_text(path.read_text().replace(old, "0" * 16))
    expect_refused(sweep(tritbench, spec, out), "is complete", "--resume")
    result = sweep(tritbench, spec, out, "--resume")
    assert result.returncode == 0, result.stderr
    assert "superseded rows (1), of cells that have changed" in result.stderr
    expect_whole(out, 4)
    after = lines_by_key(out)
    assert after.keys() == before.keys()
    assert {key for key in after if after[key] != before[key]} == {old}
    superseded = out.with_suffix(".superseded.csv")
    assert list(lines_by_key(superseded).values()) == [before[old].replace(old, "0" * 16)]
    moved = out.with_suffix(".superseded.samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["cell_key"] for line in moved] == ["0" * 16]
    # Nothing has changed since: nothing is measured, not a byte is written anew.
    bytes_before = out.read_bytes()
    result = sweep(tritbench, spec, out, "--resume")
    assert result.returncode == 0, result.stderr
    assert out.read_bytes() == bytes_before
    assert len(lines_by_key(superseded)) == 1
    # A run that was cut short is held to the same, without being asked.
    out.write_text(out.read_text().replace(old, "1" * 16))
    state = out.with_suffix(".state.json")
    state.write_text(state.read_text().replace('"complete": true', '"complete": false'))
    assert sweep(tritbench, spec, out).returncode == 0
    expect_whole(out, 4)
    assert set(lines_by_key(superseded)) == {"0" * 16, "1" * 16}


def test_resume_follows_an_edited_experiment(tritbench, finished):
    spec, out = finished
    before = lines_by_key(out)
    short_spec(spec, [64, 80])
    expect_refused(sweep(tritbench, spec, out), "earlier text of 'short'", "--resume", "--fresh")
    result = sweep(tritbench, spec, out, "--resume")
    assert result.returncode == 0, result.stderr
    expect_whole(out, 4)
    after = lines_by_key(out)
    kept = before.keys() & after.keys()
    assert len(kept) == 2 and all(after[key] == before[key] for key in kept)
    assert lines_by_key(out.with_suffix(".superseded.csv")).keys() == before.keys() - kept
    assert set(read_rows(out)["n"]) == {64, 80}
    # Other weights and activations are another cell.
    result = sweep(tritbench, spec, out, "--resume", "--seed", "2")
    assert result.returncode == 0, result.stderr
    assert lines_by_key(out).keys().isdisjoint(after)
    assert sweep(tritbench, spec, out, "--resume", "--fresh").returncode == 2


def test_another_machine_is_refused(tritbench, finished):
    spec, out = finished
    before = out.read_bytes()
    card = out.with_suffix(".machine.json")
    content = json.loads(card.read_text())
    content["machine_id"] = "another-0123abcd"
    card.write_text(json.dumps(content))
    expect_refused(sweep(tritbench, spec, out, "--resume"), "another machine",
                   "another-0123abcd", "--fresh")
    assert out.read_bytes() == before
    assert os.listdir(out.parent).count(out.name) == 1
