"""Processes that run one mapped model share its memory; those that pack it anew do not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROCESSES = 4
# What a process has of its own beside the weights: its buffers, tables and libraries.
OWN_BYTES = 24e6


@pytest.fixture(scope="module")
def model(tritbench, tmp_path_factory):
    """75 MB, most of it the embedding, which is the head too."""
    path = tmp_path_factory.mktemp("shared") / "model.gguf"
    subprocess.run([tritbench, "gen", "--preset", "125M", "-o", str(path)], check=True, capture_output=True)
    return path


def measure(root, tritbench, model, *flags):
    command = [sys.executable, root / "scripts" / "shared-memory.py", model, "-n", str(PROCESSES), "--json", *flags]
    done = subprocess.run(command, check=True, capture_output=True, text=True,
                          env=os.environ | {"TRITBENCH_BIN": tritbench})
    return json.loads(done.stdout)


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs Linux's smaps_rollup")
def test_processes_share_a_mapped_model(root, tritbench, model):
    if b"__asan_init" in Path(tritbench).read_bytes():
        pytest.skip("AddressSanitizer keeps memory of its own in each process")
    found = measure(root, tritbench, model)
    file_bytes = found["file_bytes"]
    assert file_bytes > 2 * OWN_BYTES, "too small to tell"
    assert found["rss_bytes"] > 0.9 * PROCESSES * file_bytes, "each reads all of the model"
    assert found["pss_bytes"] < file_bytes + PROCESSES * OWN_BYTES, found
    assert found["private_bytes"] < OWN_BYTES, found
    # A head of each process's own is what it costs not to share.
    own_head = measure(root, tritbench, model, "--head", "f32")
    assert own_head["pss_bytes"] > found["pss_bytes"] + PROCESSES * OWN_BYTES, own_head


def test_the_script_says_what_is_missing(root, tritbench, tmp_path):
    command = [sys.executable, root / "scripts" / "shared-memory.py", tmp_path / "none.gguf"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TRITBENCH_BIN": tritbench})
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines() == [f"shared-memory: {tmp_path / 'none.gguf'}: no such file; expected a GGUF model"]


def test_the_script_hands_on_why_a_model_does_not_run(root, tritbench, tmp_path):
    path = tmp_path / "none.gguf"
    path.write_bytes(b"GGUX" * 100)
    command = [sys.executable, root / "scripts" / "shared-memory.py", path, "-n", "2"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TRITBENCH_BIN": tritbench})
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "none.gguf" in done.stderr and "GGUF" in done.stderr
