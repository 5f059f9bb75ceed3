// Streams a dummy model of any shape into a GGUF file: norms F32, the embedding and the linear
// layers in any format that a tensor can be stored in, of any architecture that config.h knows.
// Unless told otherwise it is what bitnet.cpp expects: token_embd F16, linear layers I2_S.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dummy_models/formats.h"
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
    double positive = kDummyPositive;         // share of +1 among the weights that are not zero
    double scale_spread = kDummyScaleSpread;  // of the scales of tensors (weights.h)
    DummyFormats formats = {};
    const GgufFile* vocabulary = nullptr;  // whose tokenizer keys are copied; none: no vocabulary
};

// One tensor of a dummy model. `index` numbers its random weights; it follows from layer and role
// alone, so a model with a separate head, or with more layers, has the same weights elsewhere.
struct DummyTensor {
    enum class Kind { Norm, Embedding, Ternary };
    std::string name;
    Kind kind = Kind::Norm;
    uint64_t index = 0;
    std::vector<int64_t> ne;  // ne[0] = K, ne[1] = N

    GgmlType type() const;  // unless formats say otherwise
};

// In file order.
std::vector<DummyTensor> dummy_tensors(const ModelConfig& config);
// With the head, a copy of the embedding, that a tied model gets when it is given a format.
std::vector<DummyTensor> dummy_tensors(const DummyOptions& options);

// Throws Error where ffn_zeros is asked of a model that cannot have it: without squared ReLU, with
// a hidden size that is no multiple of 128, or less than random weights make.
void check_ffn_zeros(const DummyOptions& options);

// All that can be wrong with the options: shape, shares, a format that cannot hold a tensor, a
// vocabulary of another size. Throws Error.
void check_dummy(const DummyOptions& options);

// What to tell the user: scales that a format rounds. One line each.
std::vector<std::string> dummy_notes(const DummyOptions& options);

// Size of the file that generate_dummy would write.
uint64_t dummy_file_bytes(const DummyOptions& options);

// Told of the bytes written so far, on the calling thread; returns false to stop.
using GenerateProgress = std::function<bool(uint64_t done, uint64_t total)>;

// Writes the file; memory beyond the pool's: at most 128 MiB, whatever the model's size and the
// number of threads (fewer of them work where one needs much: `pieces.h`), as long as a single
// piece is not larger. The bytes depend on `options` alone. Returns false, leaving no file, if
// `progress` asked to stop. Throws Error where check_dummy does, on too small a disk or an I/O
// error, leaving no file.
bool generate_dummy(const DummyOptions& options, const std::filesystem::path& path,
                    ThreadPool& pool, const GenerateProgress& progress = {});

}  // namespace tritbench
