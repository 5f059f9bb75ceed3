"""--head: the LM head in another type than the file's, and what that costs in perplexity."""

import json
import subprocess

import numpy as np
import pytest
from trained_model import EXCERPT, MODEL

# As in the table of model/train/README.md; a head of as many bits that rounds wrongly is far outside.
MOST_WORSE = {"f32": 0, "f16": 1e-4, "bf16": 1e-3, "q8_0": 4e-3, "q8_row": 4e-3, "q6_k": 5e-3, "q4_0": 5e-2}


def perplexity(tritbench, model, *flags):
    command = [tritbench, "perplexity", "-m", str(model), "-f", str(EXCERPT), "-c", "256", "--json", *flags]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["perplexity"]


@pytest.fixture(scope="module")
def right(tritbench):
    return perplexity(tritbench, MODEL, "--head", "f32")


@pytest.mark.parametrize("head", MOST_WORSE)
def test_the_trained_model_scores_as_well_with_a_smaller_head(tritbench, right, head):
    found = perplexity(tritbench, MODEL, "--head", head)
    assert abs(found / right - 1) <= MOST_WORSE[head], found


def logits(tritbench, model, folder, *flags):
    out = folder / "logits.bin"
    command = [tritbench, "logits", "-m", str(model), "--tokens", "5,77,300,12", "--all", "-o", str(out), *flags]
    subprocess.run(command, check=True)
    return np.fromfile(out, "<u4")


@pytest.mark.parametrize("head", ["q8_row", "q6_k", "q4_0"])
def test_a_file_with_such_a_head_gives_the_same_bits(tritbench, tmp_path, head):
    """q8_row is a layout of our own: stored as bytes with keys, mapped when it is loaded."""
    path = tmp_path / f"{head}.gguf"
    subprocess.run([tritbench, "quantize", str(MODEL), str(path), "--head-type", head], check=True, capture_output=True)
    asked = logits(tritbench, MODEL, tmp_path, "--head", head)
    stored = logits(tritbench, path, tmp_path)
    assert len(asked) > 0 and np.array_equal(asked, stored)
    assert not np.array_equal(asked, logits(tritbench, MODEL, tmp_path, "--head", "f32"))
    # And back out of it.
    assert np.array_equal(logits(tritbench, path, tmp_path, "--head", head), stored)


@pytest.mark.parametrize("command", ["logits", "perplexity", "run", "e2e"])
def test_a_type_that_is_none_is_refused(tritbench, command):
    more = {"logits": ["--tokens", "1"], "perplexity": ["-f", str(EXCERPT)], "run": ["-p", "x"], "e2e": []}
    done = subprocess.run([tritbench, command, "-m", str(MODEL), "--head", "q5_k", *more[command]],
                          capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines() == [
        "tritbench: LM head 'q5_k': expected stored, f32, f16, bf16, q8_0, q6_k, q4_0, q8_row"]
