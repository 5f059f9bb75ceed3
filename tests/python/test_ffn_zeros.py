"""Dummies with a stated share of zeros in the int8 input of ffn_down: measured layer by layer in the
forward pass of the reference, and what gen refuses."""

import subprocess

import numpy as np
import pytest

from reference import Reference

SHAPE = ("--hidden", "256", "--ffn", "1536", "--layers", "9", "--heads", "4", "--vocab", "300")
TOKENS = [3, 17, 250, 8, 99, 1, 42, 42, 200, 7]


class CountingReference(Reference):
    """Counts the zeros of what enters ffn_down, by layer."""

    def __init__(self, path):
        super().__init__(path)
        self.zeros = []

    def _linear(self, x, name, variant):
        if name.endswith("ffn_down.weight"):
            self.zeros.append(float(np.mean(self._quantised(x, self._activations) == 0)))
        return super()._linear(x, name, variant)


def generate(tritbench, path, *flags):
    return subprocess.run([tritbench, "gen", *SHAPE, "-o", path, *flags], capture_output=True,
                          text=True, check=False)


def measured(path):
    reference = CountingReference(path)
    reference.logits(TOKENS)
    assert len(reference.zeros) == 9
    return np.array(reference.zeros)


@pytest.mark.parametrize("share", [0.7, 0.83, 0.95])
def test_as_many_zeros_as_stated(tritbench, tmp_path, share):
    path = tmp_path / "m.gguf"
    made = generate(tritbench, path, "--ffn-zeros", str(share))
    assert made.returncode == 0, made.stderr
    zeros = measured(path)
    assert abs(zeros.mean() - share) < 0.03
    assert np.abs(zeros - share).max() < 0.06  # of one layer, whose silent features are chance
    shown = subprocess.run([tritbench, "info", path], capture_output=True, text=True, check=True)
    assert f"zeros: {share:.4f} of the activations that enter ffn_down, as stated" in shown.stdout


def test_random_weights_make_two_thirds_and_say_nothing(tritbench, tmp_path):
    path = tmp_path / "m.gguf"
    assert generate(tritbench, path).returncode == 0
    assert abs(measured(path).mean() - 0.65) < 0.03
    shown = subprocess.run([tritbench, "info", path], capture_output=True, text=True, check=True)
    assert "enter ffn_down" not in shown.stdout


@pytest.mark.parametrize("flags, told", [
    (("--ffn-zeros", "0.5"), "ffn zeros is 0.5, expected a share of 0.6"),
    (("--ffn-zeros", "0.999"), "to 0.99"),
    (("--ffn-zeros", "nan"), "expected a share"),
    (("--ffn-zeros", "0.8", "--arch", "llama"), "squared ReLU"),
    (("--ffn-zeros", "0.8", "--hidden", "320"), "multiples of 128"),
])
def test_what_is_refused(tritbench, tmp_path, flags, told):
    path = tmp_path / "m.gguf"
    hidden = () if "--hidden" in flags else SHAPE[:2]
    made = subprocess.run([tritbench, "gen", *hidden, *SHAPE[2:], *flags, "-o", path],
                          capture_output=True, text=True, check=False)
    assert made.returncode == 2
    assert told in made.stderr
    assert len(made.stderr.strip().splitlines()) == 1
    assert not path.exists()
