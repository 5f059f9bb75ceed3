// The weights of a Hugging Face tensor as canonical rows.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/bitlinear.h"
#include "model/convert/hf_config.h"
#include "model/convert/hf_tensors.h"
#include "model/thread_pool.h"

namespace tritbench {

// Elements [begin, begin + out.size()) of a BF16, F16 or F32 tensor. Throws Error, naming tensor
// and element, on one that is not finite.
void read_floats(const SafetensorsTensor& tensor, int64_t begin, std::span<float> out);

// A linear layer: trits and one scale.
//
// Packed (transformers integrations/bitnet.py, pack_weights): byte [p, k] holds rows p, p + P,
// p + 2 P and p + 3 P, P = ceil(rows / 4), lowest bits first, as trit + 1; the scale is
// weight_scale or its inverse. Master weights (the same file, WeightQuant.forward): scale =
// max(mean |W|, 1e-5), trit = clamp(round-half-even(W / scale), -1, 1); the mean is taken in
// double, row by row, the division is a multiplication by the float 1 / scale, as there.
class HfLinear {
  public:
    // Reads a master tensor once, in parallel, for its scale. `way` is for packed tensors. Throws
    // Error, naming the tensor, on values and scales that are not finite, and scales not above 0.
    HfLinear(ThreadPool& pool, const HfTensor& tensor, WeightScale way);

    float scale() const { return scale_; }
    // For pack_weights (bitlinear.h); valid as long as this. Throws Error on code 3.
    RowProvider rows() const;

  private:
    void trits_of_row(int64_t row, std::span<float> buffer, int8_t* trits) const;

    const HfTensor& tensor_;
    float scale_ = 0;
};

// The rows of any other tensor as floats; valid as long as the tensor.
RowProvider float_rows(const HfTensor& tensor);

// The stored weight_scale of a packed tensor; throws Error unless it is finite and positive.
float stored_weight_scale(const HfTensor& tensor);

// Which way the weight_scales of a checkpoint point. Every layer of one checkpoint has the same:
// their geometric mean is that of mean |W| if direct, far above 1 if inverse. What the config says
// is taken unless the magnitude contradicts it (Error: it names --weight-scale); without a word in
// the config the magnitude decides, with a line to *note, and Error when it is near 1. `forced`
// overrules both. Direct for a checkpoint without packed tensors.
WeightScale choose_weight_scale(const HfConfig& config, const std::vector<HfTensor>& tensors,
                                std::optional<WeightScale> forced, std::string* note);

}  // namespace tritbench
