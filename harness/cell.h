// A cell: one thing to be measured, and its identity.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "harness/schema.h"
#include "kernels/api/kernel.h"
#include "model/load_options.h"

namespace tritbench {

enum class Level { Kernel, EndToEnd };
enum class CacheMode { Hot, Cold };
enum class Phase { Gemv, Gemm, Prefill, Decode };

std::string_view level_name(Level level);
std::string_view cache_name(CacheMode mode);
std::string_view phase_name(Phase phase);

struct Cell {
    Level level = Level::Kernel;
    const tb_kernel* kernel = nullptr;
    tb_tile tile{};
    Phase phase = Phase::Gemv;
    int threads = 1;
    int repetitions = 10;

    // kernel level
    tb_shape shape{};
    int64_t batch = 1;
    double zeros = 0;  // share of the activations made zero; 0: as they come
    CacheMode cache = CacheMode::Hot;

    // e2e level
    std::filesystem::path model;
    uint64_t model_file_bytes = 0;
    LoadOptions load;           // how the file is read
    int64_t tokens = 0;         // of the prompt, or decoded
    int64_t depth = 0;          // tokens in the KV cache before
    uint64_t weight_bytes = 0;  // memory that the linear layers take in the kernel's layout

    std::string spec;         // name of the experiment
    std::string unavailable;  // why it cannot be measured here; empty: it can
    double work_macs = 0;     // multiply-accumulates of one timed call, to foresee its time
};

// What is common to all rows of a run.
struct RunInfo {
    std::string run_id;
    std::string machine_id;
    std::string cpu;
    uint64_t seed = 1;  // of weights, activations, token ids and the order of repetitions
};

// 16 hex digits of a hash of everything that makes the number what it is: the kernel's machine
// code, compiler and flags, the cell, the model's name and size, the machine.
std::string cell_key(const Cell& cell, const std::string& machine_id);

// "i2s_avx2 2560x2560 batch 1, 2 threads, cold", with the tile where it is not the default: for
// progress and messages.
std::string cell_label(const Cell& cell);

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
