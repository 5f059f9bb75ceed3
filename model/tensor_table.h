// The tensors that a graph asks for: found, checked, and remembered.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "model/tensor_types.h"

namespace tritbench {

// All throw Error naming file, tensor, what was found and what was expected.
class TensorTable {
  public:
    TensorTable(const GgufFile& file, const LoadOptions& options)
        : file_(file), options_(options) {}

    bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }
    // A matrix of this shape, of any type that has a codec.
    StoredMatrix matrix(const std::string& name, tb_shape shape);
    // One that is looked up row by row: of a float or quantised type.
    StoredMatrix rows(const std::string& name, tb_shape shape);
    // Finite floats; factors are positive too.
    std::vector<float> vector(const std::string& name, int64_t size);
    std::vector<float> factors(const std::string& name, int64_t size);
    // The factor that the result of a product is multiplied with (bitnet.cpp's build_bitnet); 1 if
    // there is no such tensor.
    float scale(const std::string& name);

    // A tensor that the graph would leave out (a bias) makes a model that is silently another one.
    void refuse_unused(std::string_view architecture) const;

  private:
    const GgufTensor& find(const std::string& name, std::string_view expected);
    [[noreturn]] void fail(const std::string& name, std::string_view found,
                           std::string_view expected) const;

    const GgufFile& file_;
    const LoadOptions& options_;
    std::unordered_set<std::string> used_;
};

}  // namespace tritbench
