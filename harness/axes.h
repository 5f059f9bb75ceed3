// From axes (kernels, shapes, models, threads ...) to the list of cells.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "harness/cell.h"
#include "harness/cell_filter.h"
#include "harness/model_source.h"

namespace tritbench {

struct KernelAxes {
    std::vector<const tb_kernel*> kernels;
    std::vector<std::string> tiles = {""};  // as tiles_of takes them; "" is the default
    std::vector<tb_shape> shapes;
    std::vector<int64_t> batches = {1};
    std::vector<double> zeros = {0};  // shares of the activations
    std::vector<int> threads = {1};
    std::vector<std::string> pins = {""};  // as parse_pins has them
    std::vector<CacheMode> caches = {CacheMode::Hot};
    int repetitions = 10;
    std::string spec;
    CellSelection selection;
};

// A prompt, and tokens that are generated after it: timed together.
struct PromptAndTokens {
    int64_t prompt = 0, generated = 0;
};

// Linear layers run with each of the kernels, and with each of the plans.
struct ModelAxes {
    std::vector<const tb_kernel*> kernels;
    std::vector<std::string> plans;  // as plan_named takes them
    std::vector<ModelSource> models;
    std::vector<int64_t> prefill;  // prompt lengths
    std::vector<int64_t> decode;   // numbers of decoded tokens
    std::vector<PromptAndTokens> pairs;
    std::vector<int64_t> depths = {0};
    std::vector<int> threads = {1};
    std::vector<std::string> pins = {""};                    // as parse_pins has them
    std::vector<int64_t> sequences = {1};                    // of decode
    std::vector<int64_t> prefill_batches = {kPrefillBatch};  // of prefill and pairs
    std::vector<std::string> heads = {""};  // of the LM head, as parse_head has them
    std::vector<CacheType> cache_types = {CacheType::F16};
    int repetitions = 6;
    std::string spec;
    CellSelection selection;
};

// Every combination that is selected, in an order that keeps together what is measured together. A
// cell that cannot be measured here says why. Throws Error on values that are never right (K = 0).
std::vector<Cell> kernel_cells(const KernelAxes& axes);
std::vector<Cell> model_cells(const ModelAxes& axes);

// Tiles of a kernel as parse_tile takes them, and "all": every one that it accepts. Throws Error.
inline constexpr std::string_view kAllTiles = "all";
std::vector<tb_tile> tiles_of(const tb_kernel& kernel, const std::vector<std::string>& texts);

// "2560x6912": N x K. Throws Error naming `where`.
tb_shape parse_shape(std::string_view text, const std::string& where);
// "2560x6912"; "2B-4T": the distinct shapes of a preset's linear layers; "2B-4T:ffn_down": of one.
std::vector<tb_shape> parse_shapes(std::string_view text, const std::string& where);
// As parse_counts, from 1 to 1024; "n" stands for the CPUs allowed: "n", "1..n", "1..n*2".
std::vector<int> parse_threads(std::string_view text, const std::string& where);
CacheMode parse_cache(std::string_view text, const std::string& where);
// "128,32": a prompt, and tokens after it, both above 0.
PromptAndTokens parse_pair(std::string_view text, const std::string& where);
// A decimal number within [least, 2^31). Throws Error naming `where`.
int64_t parse_count(std::string_view text, int64_t least, const std::string& where);
// "8", "1..8" (every number), "1..64*2" (1, 2, 4 ... 64), "8..64+8" (8, 16 ... 64). A range ends in
// its last number, whether a step falls on it or not. At most 4096 numbers.
std::vector<int64_t> parse_counts(std::string_view text, int64_t least, const std::string& where);

// A share, 0 to 1. Throws Error naming `where`.
double parse_share(std::string_view text, const std::string& where);

// "90", "90s", "2m", "1h" in seconds. Throws Error naming `where`.
double parse_duration(const std::string& text, const std::string& where);

std::vector<std::string> split_list(std::string_view text, char separator = ',');
// "; did you mean 'x'?" for the nearest candidate, or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace tritbench
