// What `info` says about the values of a file's tensors, and not only about its header.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/gguf_verify.h"
#include "model/load_options.h"

namespace tritbench::cli {

// The parts of a model, by the names of its tensors.
enum class Part { Linear, Embedding, Head, Norm, Other };

struct Totals {
    std::map<Part, uint64_t> parameters;
    std::map<std::string, uint64_t> bytes_by_type;
    uint64_t all_parameters = 0, all_bytes = 0, linear_bytes = 0;
};
Totals totals_of(const GgufFile& file);

// What keeps the file from being a model of this project; empty when nothing does.
std::string config_problem(const GgufFile& file);

// The weights that a tensor holds: of a packed layout of our own, rows times columns.
uint64_t weights_of(const GgufFile& file, const GgufTensor& tensor);

// A linear layer by its name: "blk.7.ffn_up.weight".
bool is_linear(const GgufTensor& tensor);

// Checks of all tensors, in the order of the file. Linear layers of every ternary format, and of
// float types where they hold ternary values, come with their zeros and scale.
std::vector<TensorCheck> check_values(const GgufFile& file, const LoadOptions& options,
                                      ThreadPool& pool);

struct ZeroFraction {
    uint64_t zeros = 0, weights = 0;
    double value() const { return static_cast<double>(zeros) / static_cast<double>(weights); }
};
// Over the linear layers; empty if none of them is ternary.
std::optional<ZeroFraction> zero_fraction(const GgufFile& file, const LoadOptions& options,
                                          ThreadPool& pool);

// Mean over the layers of the fraction of zeros among the eight-bit activations that enter
// ffn_down, if the file says it (`convert` copies it from a config.json that does).
std::optional<double> trained_activation_zeros(const GgufFile& file);

// What the weights of a dummy model are, as the file states it; keys that it leaves out have the
// defaults of dummy_models/weights.h.
struct DummyFacts {
    uint64_t version = 0, seed = 0;
    double zeros = 0, positive = 0, scale_spread = 0;
    std::optional<double> ffn_zeros;
};
// Empty if the file is not one.
std::optional<DummyFacts> dummy_facts(const GgufFile& file);

}  // namespace tritbench::cli
