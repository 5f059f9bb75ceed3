// The flags of `gen`, and the dummy model that they mean.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "dummy_models/generator.h"

namespace tritbench::cli {

struct GenFlags {
    std::string preset, format = "i2_s", embedding, head_type, head, arch, vocab_from, output;
    std::optional<int64_t> hidden, ffn, layers, heads, kv_heads, head_dim, vocab, context;
    std::optional<double> rope_base;
    uint64_t seed = 1;
    double zeros = DummyOptions{}.zeros, positive = kDummyPositive;
    double scale_spread = kDummyScaleSpread;
    std::optional<double> ffn_zeros;
    int threads = 0;
    bool force = false, list = false, json = false;

    DummyFormats formats() const;
};

void add_gen_flags(CLI::App& command, GenFlags& flags);

// What the flags ask for; `vocabulary` is opened where they name one, and must outlive the result.
// Throws Error where check_dummy does.
DummyOptions dummy_options(const GenFlags& flags, std::unique_ptr<const GgufFile>& vocabulary);

}  // namespace tritbench::cli
