// Streams a dummy model of any shape into a GGUF file as bitnet.cpp expects it: token_embd F16,
// norms F32, linear layers I2_S (128/32 layout), of any architecture that config.h knows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dummy_models/presets.h"
#include "dummy_models/weights.h"
#include "model/gguf.h"
#include "model/thread_pool.h"

namespace tritbench {

struct DummyOptions {
    ModelConfig config;
    uint64_t seed = 1;
    double zeros = 0.33;  // share of zero weights; as trained (model/train/README.md)
    // Share of zeros in the int8 input of ffn_down; none: as random weights make it (weights.h).
    std::optional<double> ffn_zeros = std::nullopt;
};

// One tensor of a dummy model. `index` numbers its random weights; it follows from layer and role
// alone, so a model with a separate head, or with more layers, has the same weights elsewhere.
struct DummyTensor {
    enum class Kind { Norm, Embedding, Ternary };
    std::string name;
    Kind kind = Kind::Norm;
    uint64_t index = 0;
    std::vector<int64_t> ne;  // ne[0] = K, ne[1] = N

    GgmlType type() const;
};

// In file order.
std::vector<DummyTensor> dummy_tensors(const ModelConfig& config);

// Throws Error where ffn_zeros is asked of a model that cannot have it: without squared ReLU, with
// a hidden size that is no multiple of 128, or less than random weights make.
void check_ffn_zeros(const DummyOptions& options);

// Size of the file that generate_dummy would write.
uint64_t dummy_file_bytes(const DummyOptions& options);

// Told of the bytes written so far, on the calling thread; returns false to stop.
using GenerateProgress = std::function<bool(uint64_t done, uint64_t total)>;

// Writes the file; memory beyond the pool's: about 1 MiB per worker. The bytes depend on `options`
// alone. Returns false, leaving no file, if `progress` asked to stop. Throws Error on an impossible
// shape (check_shape), too small a disk or an I/O error, leaving no file.
bool generate_dummy(const DummyOptions& options, const std::filesystem::path& path,
                    ThreadPool& pool, const GenerateProgress& progress = {});

}  // namespace tritbench
