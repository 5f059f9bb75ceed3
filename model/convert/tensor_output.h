// Tensors on their way into a GGUF file: declared all at once, then encoded and written one at a
// time, so that memory is bounded by the largest tensor.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/gguf.h"
#include "model/tensor_types.h"
#include "model/thread_pool.h"

namespace tritbench {

struct TensorOutput {
    uint64_t elements = 0;  // for progress
    std::function<void(GgufWriter&)> declare;
    std::function<void(GgufWriter&, ThreadPool&)> write;
};

// Told of the elements written so far, on the calling thread; returns false to stop.
using ConvertProgress = std::function<bool(uint64_t done, uint64_t total)>;

// Begins the file, writes all tensors, and finishes it. Returns false, leaving no file, if
// `progress` asked to stop. Throws Error, leaving no file.
bool write_tensors(GgufWriter& writer, ThreadPool& pool, const std::vector<TensorOutput>& tensors,
                   const ConvertProgress& progress);

// What a format makes of the scale s of a ternary matrix: the nearest half where it keeps halves,
// the nearest value of its kind where it is a float format.
float scale_as_stored(const MatrixFormat& format, float scale);

// Counts scales that formats with half-precision scales (or values) round.
class ScaleRounding {
  public:
    // Throws Error, naming the tensor, if the format makes nothing, or infinity, of the scale.
    void add(const std::string& tensor, const MatrixFormat& format, float scale);
    // "tq2_0 stores scales as half precision: 3 of 7 are rounded, by at most 0.021 %"; "" if none.
    std::string note() const;

  private:
    std::string format_;
    uint64_t scales_ = 0, rounded_ = 0;
    double largest_ = 0;  // relative
};

// Throws Error unless linear layers can be stored so: ternary formats (exact) and f16, bf16, f32.
void require_linear_format(const MatrixFormat& format);
// Throws Error unless an embedding or LM head can: f16, bf16, f32, q8_0, q6_k, q4_0.
void require_matrix_format(const MatrixFormat& format, std::string_view what);

// The format with another tile if this one is the default and does not divide the shape, and
// another does (TL1 and TL2).
MatrixFormat fit_tile(const MatrixFormat& format, tb_shape shape);

// general.file_type of a file whose linear layers have this format, in the numbering of llama.cpp
// (TQ1_0, TQ2_0, floats) and bitnet.cpp (I2_S, TL1, TL2); -1 for formats that neither knows.
int64_t file_type_of(const MatrixFormat& format);

}  // namespace tritbench
