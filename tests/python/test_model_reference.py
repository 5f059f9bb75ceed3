"""The model against an independent float64 forward pass: every architecture, every tensor type.

Files come from a writer of the tests' own. Logits differ from the reference by float32 rounding,
1e-13 or less, unless an activation lies so near halfway between two int8 values that the two sides
round it apart: then all that follows moves by up to 3e-4, as much as leaving the quantisation out.
Tokens are chosen, by the reference alone, so that none does (clear_tokens).
"""

import platform
import subprocess
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from reference import BLOCKS_OF_32, Reference, Tile, Unsaid, Variant, nmse
from small_models import SmallModel, clear_tokens, run_logits
from tensor_encoders import ENCODERS

BOUND = 1e-12
FLOATS = ["f32", "f16", "bf16", "q8_0", "q6_k", "q4_0"]

ARCHITECTURES = {
    "bitnet-b1.58": SmallModel("bitnet-b1.58"),
    "bitnet-25": SmallModel("bitnet-25", head="f16", seed=2),
    "bitnet": SmallModel("bitnet", output_scales=True, seed=3),
    "llama": SmallModel("llama", head="f16", head_dim=96, rope_factors=True, seed=4),
    "activation by key": SmallModel("llama", activation="relu2", seed=5),
}
# One block: a long sequence of more would have no tokens without a near tie.
LONG = SmallModel("llama", layers=1, hidden=64, ffn=128, heads=4, kv_heads=1, seed=6)

MISTAKES = {
    "silu_for_relu2_or_the_reverse": Variant(swap_activation=True),
    "rope_on_neighbours_for_halves_or_the_reverse": Variant(swap_rope=True),
    "rope_base_left_out": Variant(rope_base=False),
    "no_attn_norm": Variant(attn_norm=False),
    "no_ffn_norm": Variant(ffn_norm=False),
    "no_output_norm": Variant(output_norm=False),
    "scores_not_scaled": Variant(score_scale=False),
    "future_not_masked": Variant(causal=False),
    "wrong_kv_head": Variant(kv_head="modulo"),
    "gate_and_up_swapped": Variant(swap_gate_and_up=True),
    "weight_scale_left_out": Variant(weight_scale="none"),
    "weight_scale_inverted": Variant(weight_scale="inverse"),
    "activations_not_quantised": Variant(quantise=False),
}
# Those that only some graphs can make.
SUB_NORM_MISTAKES = {
    "no_attn_sub_norm": Variant(attn_sub_norm=False),
    "no_ffn_sub_norm": Variant(ffn_sub_norm=False),
}
MORE_MISTAKES = {
    "bitnet-b1.58": SUB_NORM_MISTAKES,
    "bitnet-25": SUB_NORM_MISTAKES | {"head_taken_as_tied": Variant(separate_head=False)},
    "bitnet": SUB_NORM_MISTAKES | {"output_scales_left_out": Variant(output_scales=False)},
    "llama": {
        "rope_factors_left_out": Variant(rope_factors=False),
        "head_taken_as_tied": Variant(separate_head=False),
    },
    "activation by key": {},
}


@dataclass
class Case:
    """A model, tokens without near ties, what the program finds and what the reference says."""

    reference: Reference
    path: object
    tokens: list
    found: np.ndarray
    expected: np.ndarray = field(init=False)

    def __post_init__(self):
        self.expected = self.reference.logits(self.tokens)


def run_case(tritbench, path, *flags, count=12, **reference):
    reference = Reference(path, **reference)
    tokens = clear_tokens(reference, count)
    found = run_logits(tritbench, path, tokens, path.with_suffix(".bin"), *flags)
    return Case(reference, path, tokens, found)


def require_equal(case):
    assert case.found.shape == case.expected.shape
    # Every token by itself: a late one cannot hide an early one.
    worst = max(nmse(found, expected) for found, expected in zip(case.found, case.expected))
    assert worst <= BOUND


@pytest.fixture(scope="module")
def cases(tritbench, tmp_path_factory):
    """Made when first asked for."""
    folder = tmp_path_factory.mktemp("architectures")
    made = {}

    def case(name):
        if name not in made:
            path = ARCHITECTURES[name].write(folder / f"{name.replace(' ', '-')}.gguf")
            made[name] = run_case(tritbench, path)
        return made[name]

    return case


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_equal_the_reference(cases, architecture):
    require_equal(cases(architecture))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_cache_of_halves_is_near_the_reference(tritbench, cases, architecture):
    case = cases(architecture)
    out = case.path.with_suffix(".f16.bin")
    found = run_logits(tritbench, case.path, case.tokens, out, cache="f16")
    # A value that a half moves over the edge of an int8 step moves a logit by some 1e-3.
    assert BOUND < nmse(found, case.expected) < 1e-2


@pytest.mark.parametrize(
    "architecture, mistake",
    [(a, m) for a in ARCHITECTURES for m in MISTAKES | MORE_MISTAKES[a]],
)
def test_comparison_sees(cases, architecture, mistake):
    case = cases(architecture)
    variant = (MISTAKES | MORE_MISTAKES[architecture])[mistake]
    assert nmse(case.found, case.reference.logits(case.tokens, variant)) > 1e-4


def test_long_sequence_equals_the_reference(tritbench, tmp_path):
    path = LONG.write(tmp_path / "long.gguf")
    require_equal(run_case(tritbench, path, count=150))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_same_bits_whatever_runs_it(tritbench, cases, architecture):
    case = cases(architecture)

    def again(*flags, cpu=None):
        out = case.path.with_suffix(".again.bin")
        return run_logits(tritbench, case.path, case.tokens, out, *flags, cpu=cpu).tobytes()

    expected = case.found.tobytes()
    for flags in (["--batch", "1", "-t", "1"], ["--batch", "5", "-t", "3"]):
        assert again(*flags) == expected, flags
    for kernel in ("int8_scalar", "tl1_scalar", "tl2_scalar", "iq2_bn_scalar"):
        assert again("--kernel", kernel) == expected, kernel
    x86 = platform.machine() in ("x86_64", "AMD64")
    for cpu in ["baseline"] + (["x86-64-v2", "x86-64-v3", "x86-64-v4"] if x86 else []):
        assert again(cpu=cpu) == expected, cpu


def test_float_weights_equal_the_reference_without_quantised_activations(tritbench, cases):
    case = cases("bitnet-b1.58")
    out = case.path.with_suffix(".float.bin")
    found = run_logits(tritbench, case.path, case.tokens, out, "--kernel", "f32_scalar")
    assert nmse(found, case.reference.logits(case.tokens, Variant(quantise=False))) <= BOUND


def unsaid_about(linear):
    """What the file leaves out, for the reference: (Unsaid, flags that say the same)."""
    layout = linear.partition(" ")[2]
    tile = {"tl1": Tile(64, 64, 32), "tl2": Tile(32, 96)}.get(linear)
    shapes = [(256, 256), (128, 256), (512, 256), (256, 512)]
    return (
        Unsaid(layout or "x86", {shape: tile for shape in shapes} if tile else {}),
        ["--i2s-layout", layout] if layout else [],
    )


@pytest.mark.parametrize("linear", ENCODERS)
def test_linear_layers_of_every_type(tritbench, tmp_path, linear):
    path = SmallModel(linear=linear).write(tmp_path / "model.gguf")
    unsaid, flags = unsaid_about(linear)
    require_equal(run_case(tritbench, path, *flags, unsaid=unsaid))


def refusal(tritbench, path, *flags):
    command = [tritbench, "logits", "-m", str(path), "--tokens", "1", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("linear", ["f32", "f16", "bf16"])
def test_linear_layers_that_are_not_ternary_are_named(tritbench, tmp_path, linear):
    path = SmallModel(linear=linear, ternary=False).write(tmp_path / "model.gguf")
    error = refusal(tritbench, path)
    assert "blk.0.attn_q.weight" in error and "ternary" in error


@pytest.mark.parametrize("linear", ["q8_0", "q6_k", "q4_0"])
def test_quantised_linear_layers_run_as_they_are(tritbench, tmp_path, linear):
    """Their kernels quantise activations block by block, which the reference does not."""
    path = SmallModel(linear=linear, ternary=False).write(tmp_path / "model.gguf")
    case = run_case(tritbench, path)
    assert 0 < nmse(case.found, case.expected) < 1e-3
    scalar = run_logits(tritbench, path, case.tokens, tmp_path / "scalar.bin", "--kernel", f"{linear}_scalar")
    assert nmse(scalar, case.found) < 1e-3
    error = refusal(tritbench, path, "--kernel", "i2s_scalar")
    assert "blk.0.attn_q.weight" in error and "ternary" in error


@pytest.mark.parametrize("layout", ["x86", "arm", "row4"])
def test_wrong_i2s_layout_is_far_off(tritbench, tmp_path, layout):
    path = SmallModel(linear="i2_s arm" if layout != "arm" else "i2_s").write(tmp_path / "model.gguf")
    actual = Unsaid("arm" if layout != "arm" else "x86")
    case = run_case(tritbench, path, "--i2s-layout", layout, unsaid=actual)
    assert nmse(case.found, case.expected) > 0.1


@pytest.mark.parametrize("linear", ["tl1", "tl2"])
def test_tiles_from_kernel_config(tritbench, tmp_path, linear):
    model = replace(SmallModel(linear=linear), tile_keys=False)
    path = model.write(tmp_path / "model.gguf")
    unsaid, _ = unsaid_about(linear)
    config = tmp_path / "kernel_config.ini"
    config.write_text(
        "".join(
            f"[Kernels_{i}]\nm = {rows}\nk = {columns}\nbm = {t.BM}\nbk = {t.BK}\nbmm = {t.bm}\n"
            for i, ((rows, columns), t) in enumerate(unsaid.tiles.items())
        )
    )
    require_equal(run_case(tritbench, path, "--kernel-config", str(config), unsaid=unsaid))

    done = subprocess.run(
        [tritbench, "logits", "-m", str(path), "--tokens", "1"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "--kernel-config" in done.stderr


# Tied, and each head with another type's embedding.
@pytest.mark.parametrize(
    "embedding, head",
    [(e, None) for e in FLOATS] + list(zip(FLOATS, FLOATS[1:] + FLOATS[:1])),
)
def test_embedding_and_head_of_every_type(tritbench, tmp_path, embedding, head):
    path = SmallModel(embedding=embedding, head=head, layers=1).write(tmp_path / "model.gguf")
    blocks = (head or embedding).startswith("q")  # those kernels multiply int8 in blocks of 32
    require_equal(run_case(tritbench, path, head_activations=BLOCKS_OF_32 if blocks else None))


# The generator's files, whose K cut blocks of I2_S.
GENERATED = {
    "tied": ["--hidden", "256", "--ffn", "384"],
    "separate_head": ["--hidden", "256", "--ffn", "384", "--head", "separate"],
    "head_dim_48": ["--hidden", "192", "--ffn", "512"],
    # K % 128 is 32 for hidden and 64 for ffn: rows of I2_S straddle blocks.
    "ragged_k": ["--hidden", "160", "--ffn", "448"],
}


@pytest.mark.parametrize("shape", GENERATED)
def test_generated_model_equals_the_reference(tritbench, tmp_path, shape):
    path = tmp_path / "model.gguf"
    flags = ["--heads", "4", "--kv-heads", "2", "--vocab", "320", "--layers", "2", "-o", str(path)]
    subprocess.run([tritbench, "gen", *GENERATED[shape], *flags], check=True, capture_output=True)
    require_equal(run_case(tritbench, path))
