#include "model/transformer.h"

#include <string_view>

#include "model/model_impl.h"

namespace tritbench {

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Model::~Model() = default;

const ModelConfig& Model::config() const {
    return impl_->config;
}

const GgufFile& Model::file() const {
    return *impl_->file;
}

std::string_view Model::layout() const {
    const std::string_view first = impl_->linears.front().weights->kernel->layout;
    for (const NamedLinear& linear : impl_->linears) {
        if (first != linear.weights->kernel->layout) return "mixed";
    }
    return first;
}

uint64_t Model::linear_bytes() const {
    uint64_t bytes = 0;
    for (const NamedLinear& linear : impl_->linears) bytes += linear.weights->bytes.size();
    return bytes;
}

uint64_t Model::head_bytes() const {
    return impl_->head.bytes.size();
}

std::string_view Model::head_format() const {
    return impl_->head.kernel->layout;
}

uint64_t Model::packed_bytes_owned() const {
    uint64_t bytes = impl_->head.storage.size();
    for (const NamedLinear& linear : impl_->linears) bytes += linear.weights->storage.size();
    return bytes;
}

uint64_t Model::linear_parameters() const {
    uint64_t count = 0;
    for (const NamedLinear& linear : impl_->linears) {
        const tb_shape shape = linear.weights->shape;
        count += static_cast<uint64_t>(shape.n * shape.k);
    }
    return count;
}

uint64_t Model::parameters() const {
    return linear_parameters() + impl_->other_parameters;
}

std::vector<Model::NamedLinear> Model::linears() const {
    return impl_->linears;
}

}  // namespace tritbench
