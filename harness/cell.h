// A cell: one thing to be measured, and its identity.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "harness/model_source.h"
#include "harness/schema.h"
#include "kernels/api/kernel.h"
#include "model/kv_cache.h"
#include "model/load_options.h"
#include "model/plan.h"

namespace tritbench {

enum class Level { Kernel, EndToEnd };
enum class CacheMode { Hot, Cold };
// PrefillDecode: a prompt, then tokens one by one, timed together.
enum class Phase { Gemv, Gemm, Prefill, Decode, PrefillDecode };

std::string_view level_name(Level level);
std::string_view cache_name(CacheMode mode);
std::string_view phase_name(Phase phase);
std::string_view cache_type_name(CacheType type);                             // "f16", "f32"
CacheType parse_cache_type(std::string_view text, const std::string& where);  // throws Error

// Tokens of a prompt that are multiplied together unless said otherwise.
inline constexpr int64_t kPrefillBatch = 512;

// A kernel with a tile, among those that a cell calls.
struct KernelUse {
    const tb_kernel* kernel = nullptr;
    tb_tile tile{};
    uint64_t timed_weights = 0;  // that it multiplies in the timed phase; 0: on the way there only
};

struct Cell {
    Level level = Level::Kernel;
    std::vector<KernelUse>
        kernels;  // kernel level: one; e2e: first that with the most timed weights
    Phase phase = Phase::Gemv;
    int threads = 1;
    std::string pins;  // the policy, as parse_pins has it; "": default
    int repetitions = 10;

    // kernel level
    tb_shape shape{};
    int64_t batch = 1;
    double zeros = 0;  // share of the activations made zero; 0: as they come
    CacheMode cache = CacheMode::Hot;

    // e2e level
    ModelInfo model;
    ModelMode mode = ModelMode::Full;
    std::shared_ptr<const DummyOptions> drawn;  // null: from model.path
    int64_t layers = 0;                         // of the model
    std::shared_ptr<const Plan> plan;
    LoadOptions load;       // how the file is read, and the window of its layers
    int64_t prompt = 0;     // tokens of the timed prompt
    int64_t generated = 0;  // tokens decoded one by one, of each sequence
    int64_t depth = 0;      // tokens in the KV cache before
    int64_t sequences = 1;  // decoded together
    int64_t prefill_batch = kPrefillBatch;
    CacheType cache_type = CacheType::F16;
    uint64_t weight_bytes = 0;  // memory that the linear layers take as the plan has them
    uint64_t mapped_weights =
        0;                   // of a model whose file is mapped: weights_of_mapped (disk_note.h)
    double linear_macs = 0;  // of work_macs, those of the linear layers

    std::string spec;         // name of the experiment
    std::string unavailable;  // why it cannot be measured here; empty: it can
    double work_macs = 0;     // multiply-accumulates of one timed call: a product, a whole prompt
                              // (and what is decoded after it), or a step of decode

    int64_t tokens() const { return prompt + generated; }
    // Layers with weights of their own, and layers that a forward pass runs.
    int64_t layers_run() const { return load.window.run > 0 ? load.window.run : layers; }
    int64_t layers_distinct() const {
        return load.window.distinct > 0 ? load.window.distinct : layers_run();
    }
    // The kernel: at kernel level the only one, else that with the most weights.
    const tb_kernel& kernel() const { return *kernels.front().kernel; }
    const tb_tile& tile() const { return kernels.front().tile; }
};

// What is common to all rows of a run.
struct RunInfo {
    std::string run_id;
    std::string machine_id;
    std::string cpu;
    uint64_t seed = 1;  // of weights, activations, token ids and the order of repetitions
};

// 16 hex digits of a hash of everything that makes the number what it is: the kernel's machine
// code, compiler and flags, the cell, the model's name and size, the seed, the machine.
std::string cell_key(const Cell& cell, const std::string& machine_id, uint64_t seed = 1);
std::set<std::string> cell_keys(const std::vector<Cell>& cells, const RunInfo& run);

// "i2s_avx2 2560x2560 batch 1, 2 threads, cold", with the tile where it is not the default: for
// progress and messages.
std::string cell_label(const Cell& cell);

// Numbers of tokens that go through the layers of a model together in the timed phase.
std::vector<int64_t> timed_batches(const Cell& cell);

// "i2s_avx2"; "mixed" where the timed phase has several. "" if the plan does not fit the model.
std::string kernel_text(const Cell& cell);

// Every column that is known before measuring.
Row identity_row(const Cell& cell, const RunInfo& run);

// FNV-1a, 64 bit.
uint64_t fnv1a64(const void* data, size_t bytes, uint64_t hash = 0xcbf29ce484222325ULL);
std::string hex16(uint64_t value);

// Seconds one call may take on a slow machine; the time limit of a step is derived from it.
double predicted_call_seconds(const Cell& cell);

// A rough weight of one repetition among others, for progress: about tens of milliseconds.
uint64_t repetition_weight(const Cell& cell);

}  // namespace tritbench
