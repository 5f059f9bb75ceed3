// The columns of a result file and what they mean. results/SCHEMA.md says the same, which a test
// checks.
#include <algorithm>
#include <iterator>

#include "harness/schema.h"

namespace tritbench {
namespace {

constexpr ColumnInfo kColumns[] = {
    {"schema_version", "", "Version of this list of columns.", 1},
    {"run_id", "", "One run of the bench, kept when the run is resumed.", 1},
    {"utc", "", "When the row was finished, ISO 8601, UTC.", 1},
    {"git_revision", "", "Commit that the binary was built from.", 1},
    {"git_dirty", "", "true when tracked files differed from that commit, else false.", 1},
    {"compiler", "", "Compiler and version.", 1},
    {"flags", "", "Compiler flags of everything but the kernels, whose files add their ISA's.", 1},
    {"machine_id", "", "Stable id of the machine: CPU model, cores, caches, memory, ISA.", 1},
    {"cpu", "", "The CPU's model name.", 1},
    {"isa_path", "",
     "Instruction set of the kernel that ran; of several, of the one with the most weights.", 1},
    {"spec", "", "Name of the experiment; the command for rows made without a spec.", 1},
    {"cell_key", "",
     "Hash of what was measured: machine code, compiler and flags, cell, model or shape, machine.",
     1},
    {"level", "", "kernel: one matrix product. e2e: a complete model.", 1},
    {"kernel", "",
     "Kernel id, <layout>_<isa>[_<tag>]; mixed where the linear layers of a model run with "
     "several.",
     1},
    {"plan", "",
     "Plan that chose the kernels of a model's layers: default, stored, the name of its file "
     "without extension, or the kernel's id; e2e level only.",
     3},
    {"layout", "", "Weight layout of the kernel; mixed where a model has several.", 1},
    {"object_hash", "",
     "First 16 hex digits of the SHA-256 of the kernel's object file; of several kernels, a hash "
     "of theirs.",
     1},
    {"exactness", "",
     "What the kernel claims: exact, bounded or lossy; of several, the weakest claim.", 1},
    {"bits_per_weight", "bits",
     "Bits per weight of the packed weights, overhead not counted; of several layouts, the mean "
     "over the weights.",
     1},
    {"tile", "",
     "Tile parameters, name=value, comma separated; empty when there are none, or several kernels.",
     1},
    {"n", "", "Rows of W (output features); kernel level only.", 1},
    {"k", "", "Columns of W (input features); kernel level only.", 1},
    {"batch", "tokens",
     "Tokens multiplied together: 1 for gemv, the prompt for prefill (in parts of at most "
     "prefill_batch), the sequences for decode.",
     1},
    {"activation_zeros", "",
     "Share of the activations that was made zero, where one was asked for. Then bytes may be more "
     "than a kernel that skips zeros has read. Kernel level only.",
     3},
    {"model", "", "Model file without folder and extension; e2e level only.", 1},
    {"model_file", "", "Model file as it was given; empty where there is none.", 3},
    {"model_mode", "",
     "full: every layer from a file; shape_only: every layer drawn in memory; layer_window: fewer "
     "layers with weights of their own, visited in turn; e2e level only.",
     4},
    {"layers_distinct", "", "Layers with weights of their own; e2e level only.", 4},
    {"layers_run", "",
     "Layers of a forward pass. Fewer than the model has: the time of the others is extrapolated; "
     "e2e level only.",
     4},
    {"model_type", "", "Architecture, parameters, and type of the linear layers in the file.", 3},
    {"model_parameters", "", "Parameters of the model, all tensors counted.", 3},
    {"model_tensor_bytes", "bytes", "Bytes of the tensors in the file.", 3},
    {"model_file_bytes", "bytes", "Size of the model file.", 1},
    {"head_type", "", "Layout that the LM head is multiplied in: q6_k, f16, ...; e2e level only.",
     3},
    {"cache_type", "", "Type of the KV cache: f16 or f32; e2e level only.", 3},
    {"phase", "",
     "gemv or gemm (kernel level); prefill, decode or prefill+decode, a prompt and then tokens "
     "timed together (e2e level).",
     1},
    {"prompt_tokens", "tokens", "Length of the timed prompt; 0 for decode; e2e level only.", 3},
    {"generated_tokens", "tokens",
     "Tokens decoded one by one, of each sequence; 0 for prefill; e2e level only.", 3},
    {"depth_tokens", "tokens",
     "Tokens already in the KV cache of each sequence when the timed phase begins.", 1},
    {"sequences", "",
     "Sequences that are decoded together, one token of each in a step; e2e level only.", 3},
    {"prefill_batch", "tokens",
     "Most tokens of a prompt that are multiplied together; e2e level only.", 3},
    {"threads", "", "Threads that share the work.", 1},
    {"pins", "", "CPU of each thread, space separated.", 1},
    {"cache_mode", "",
     "hot: one copy of the weights, again and again. cold: rotates over copies that together "
     "exceed the last-level cache four times. stream: the layers of a model, one after another.",
     1},
    {"warmups", "", "Untimed repetitions before the timed ones.", 1},
    {"repetitions", "",
     "Timed repetitions, interleaved with those of the other cells: sample i of each cell of a "
     "block is of the same round.",
     1},
    {"calls_per_repetition", "",
     "Products per repetition (kernel level, timed together); steps per repetition for decode "
     "(each timed alone); 1 for prefill and prefill+decode.",
     1},
    {"stop_reason", "",
     "What ended the repetitions: precision (the interval is as narrow as was asked), repetitions "
     "(their number) or budget (the time).",
     5},
    {"median_ns", "ns",
     "Median time of one product (kernel level), of the whole prompt (prefill), of one step, a "
     "token of each sequence (decode), or of prompt and tokens (prefill+decode).",
     1},
    {"mad_ns", "ns", "Median absolute deviation from the median, not scaled.", 1},
    {"ci95_lo_ns", "ns",
     "Lower end of the 95% interval of the median, by order statistics; empty below 6 samples.", 1},
    {"ci95_hi_ns", "ns", "Upper end of that interval.", 1},
    {"ci95_pct", "%",
     "Half the width of the 95% interval of the median of repetitions (for decode: of their median "
     "steps), in percent of that median.",
     5},
    {"control", "",
     "One cell of the block that was measured twice, the A/A control: its label. Empty without "
     "one.",
     5},
    {"control_ratio", "",
     "Time of this cell over that of the control, the median of the ratios in each round. Rows of "
     "one run_id and control are compared by it: drift cancels.",
     5},
    {"aa_ratio_lo", "",
     "Lower end of the 95% interval of the median ratio of the control to itself, in the rounds of "
     "this row.",
     5},
    {"aa_ratio_hi", "", "Upper end of that interval.", 5},
    {"aa_limit_pct", "%",
     "The smallest difference to other rows of the run_id and control that may be claimed: how far "
     "the farther end of that interval is from 1.",
     5},
    {"min_ns", "ns", "Fastest sample.", 1},
    {"max_ns", "ns", "Slowest sample.", 3},
    {"p95_ns", "ns",
     "95 of 100 steps took at most this long (nearest rank; p50 is median_ns); decode only.", 3},
    {"p99_ns", "ns", "99 of 100 steps took at most this long; decode only.", 3},
    {"prepare_median_ns", "ns",
     "Median time to prepare the activations (quantise, sums, tables), not part of median_ns; "
     "kernel level only.",
     1},
    {"first_token_ms", "ms",
     "Median time from the start of the prompt to the logits of its last token, with the model "
     "loaded; prefill and prefill+decode only.",
     3},
    {"load_ms", "ms",
     "Time that it took to load the model with every CPU allowed: mapping, checking, repacking. "
     "The file had been read before, so that it came from the page cache where it fits; e2e level "
     "only.",
     3},
    {"tokens_per_s", "tokens/s",
     "Tokens per second at the median, those of all sequences together, prompt and generated "
     "tokens alike; e2e level only.",
     1},
    {"tokens_per_s_no_head", "tokens/s",
     "The same with the time of the LM head taken out: its share in the timeline.", 3},
    {"extrapolated_pct", "%",
     "Share of median_ns, and of every figure that follows from it, that is extrapolated: layers "
     "that were not run, at the time of those that were. 0: all was measured; e2e level only.",
     4},
    {"gmac_per_s", "GMAC/s",
     "10^9 multiply-accumulates per second at the median: N K M (kernel level); parameters of the "
     "linear layers for every token and of the LM head for the tokens whose logits are computed "
     "(e2e).",
     1},
    {"bytes", "bytes",
     "Bytes moved per product as the kernel declares them (weights, activations, tables, output); "
     "per decoded token: packed linear layers but for the columns that were skipped, and LM head, "
     "divided by the sequences that share them, and KV cache at the mean depth.",
     1},
    {"footprint_bytes", "bytes",
     "Distinct bytes touched by the timed loop: for cold cells all copies of the weights; for "
     "decode those of a step.",
     1},
    {"gb_per_s", "GB/s", "bytes / median_ns, for decode times the sequences; empty for prefill.",
     1},
    {"ceiling_gb_per_s", "GB/s",
     "Read bandwidth with the same threads and pins. Cold kernel cells and decode: the median of "
     "readings of the very weights that were multiplied, one right after each repetition. Hot "
     "cells: of other memory of the same footprint, the better of one measurement before and one "
     "after the cell. gemv and decode only.",
     1},
    {"ceiling_probe", "",
     "The loop that measured the ceiling, and the memory that it read: the cell's or the model's "
     "own weights, mapped or in huge pages; or other huge pages.",
     1},
    {"pct_of_ceiling", "%",
     "Bandwidth in percent of the ceiling; gemv and decode only. Where every repetition has its "
     "own "
     "reading, the median of the ratios of the two, which is steady where the machine is now fast, "
     "now slow.",
     1},
    {"peak_gmac_per_s", "GMAC/s",
     "The most that this CPU's fastest multiply-accumulate instruction gives from registers, "
     "measured in the same run with the same threads and pins: an int8 dot product, or a float32 "
     "multiply-add for kernels of float activations; the better of two measurements. Kernel level "
     "and prefill only.",
     2},
    {"peak_probe", "", "Instruction set and instruction of that peak.", 2},
    {"pct_of_peak", "%",
     "gmac_per_s in percent of peak_gmac_per_s; for prefill over the time of the whole prompt.", 2},
    {"product_gmac_per_s", "GMAC/s",
     "Multiply-accumulates of the linear layers over the time of their products alone, by their "
     "share in the timeline; prefill only.",
     3},
    {"product_pct_of_peak", "%", "product_gmac_per_s in percent of peak_gmac_per_s.", 3},
    {"mix_gmac_per_s", "GMAC/s",
     "The same for all the instructions of the kernel's inner loop but its loads, from registers: "
     "the bound that its instruction mix sets on this CPU's ports. gemv only, and only of kernels "
     "for which the roofline has that loop.",
     2},
    {"pct_of_mix", "%", "gmac_per_s in percent of mix_gmac_per_s.", 2},
    {"role_prepare_ns", "ns",
     "Timeline: time a token in preparing activations for the linear layers; e2e level only.", 3},
    {"role_product_ns", "ns", "Time a token in the products of the linear layers.", 3},
    {"role_attention_ns", "ns", "Time a token in attention, RoPE and storing keys and values.", 3},
    {"role_head_ns", "ns", "Time a token in the LM head, its activations included.", 3},
    {"role_other_ns", "ns",
     "All the rest of a token's time: embedding, norms, activation, residuals, and what no role "
     "covers.",
     3},
    {"pct_outside_products", "%",
     "Share of prepare, attention and other in the timeline: all but the products of the linear "
     "layers and the LM head.",
     3},
    {"peak_rss_bytes", "bytes",
     "Largest resident memory of the child process that measured this cell, and maybe others "
     "interleaved with it.",
     1},
    {"logits_hash", "",
     "FNV-1a 64 of the bits of the logits of the last token, of the first sequence; equal for all "
     "exact kernels of one model with equal prompt_tokens + generated_tokens + depth_tokens, "
     "head_type and cache_type. e2e level only.",
     1},
    {"verified", "",
     "Proof on the very bytes that were timed, before and after: bitexact, bounded, no (wrong); "
     "empty when nothing was proved.",
     1},
    {"noise", "", "Marks, space separated, of what may make the timing untrustworthy.", 1},
    {"status", "", "ok, failed, unavailable, crashed, timeout or error.", 1},
    {"reason", "", "Why the status is not ok, in one line.", 1},
};
static_assert(std::size(kColumns) == static_cast<size_t>(kColumnCount));

}  // namespace

std::span<const ColumnInfo> schema_columns() {
    return kColumns;
}

const ColumnInfo& column_info(Column column) {
    return kColumns[static_cast<size_t>(column)];
}

std::optional<Column> find_column(std::string_view name) {
    const auto* it = std::find_if(std::begin(kColumns), std::end(kColumns),
                                  [&](const ColumnInfo& c) { return c.name == name; });
    if (it == std::end(kColumns)) return std::nullopt;
    return static_cast<Column>(it - std::begin(kColumns));
}

}  // namespace tritbench
