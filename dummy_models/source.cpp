#include "dummy_models/source.h"

#include <fmt/format.h>

#include <map>
#include <memory>

#include "dummy_models/rows.h"
#include "kernels/api/error.h"

namespace tritbench {

WeightSource dummy_source(const DummyOptions& options) {
    check_shape(options.config);
    check_ffn_zeros(options);
    using Tensors = std::map<std::string, DummyTensor>;
    auto tensors = std::make_shared<Tensors>();
    for (const DummyTensor& t : dummy_tensors(options.config)) tensors->emplace(t.name, t);
    const auto find = [tensors](const std::string& name) -> const DummyTensor& {
        const auto found = tensors->find(name);
        if (found == tensors->end()) throw Error(fmt::format("a dummy has no tensor {}", name));
        return found->second;
    };
    WeightSource source;
    source.name = fmt::format("{}, seed {}", options.config.name, options.seed);
    source.config = options.config;
    source.rows = [options, find](const std::string& name) {
        return dummy_rows(options, find(name));
    };
    source.vector = [options, find](const std::string& name, int64_t size) {
        std::vector<float> values(static_cast<size_t>(size));
        dummy_norm(options.seed, find(name).index, 0, values);
        return values;
    };
    return source;
}

}  // namespace tritbench
