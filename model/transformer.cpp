#include "model/transformer.h"

#include <string_view>

#include "model/model_impl.h"

namespace tritbench {

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Model::~Model() = default;

const ModelConfig& Model::config() const {
    return impl_->config;
}

std::string_view Model::layout() const {
    const std::string_view first = impl_->linears.front().weights->kernel->layout;
    for (const NamedLinear& linear : impl_->linears) {
        if (first != linear.weights->kernel->layout) return "mixed";
    }
    return first;
}

int64_t Model::layers_distinct() const {
    return static_cast<int64_t>(impl_->layers.size());
}

int64_t Model::layers_run() const {
    return impl_->layers_run;
}

uint64_t Model::linear_bytes() const {
    uint64_t bytes = 0;
    for (const NamedLinear& linear : impl_->linears) bytes += linear.weights->bytes.size();
    // Layers are alike.
    return bytes / impl_->layers.size() * static_cast<uint64_t>(impl_->layers_run);
}

uint64_t Model::head_bytes() const {
    return impl_->head.bytes.size();
}

std::string_view Model::head_format() const {
    return impl_->head.kernel->layout;
}

uint64_t Model::packed_bytes_owned() const {
    uint64_t bytes = impl_->head.storage.size() + impl_->embedding.storage.size();
    for (const NamedLinear& linear : impl_->linears) bytes += linear.weights->storage.size();
    return bytes;
}

uint64_t Model::linear_parameters() const {
    uint64_t layer = 0;
    for (const LinearShape& s : linear_shapes(impl_->config)) {
        layer += static_cast<uint64_t>(s.n * s.k);
    }
    return layer * static_cast<uint64_t>(impl_->config.layers);
}

uint64_t Model::parameters() const {
    const ModelConfig& c = impl_->config;
    const int64_t sub_norms = c.sub_norms ? impl_->q_dim() + c.ffn : 0;
    const int64_t norms = c.layers * (2 * c.hidden + sub_norms) + c.hidden;
    const int64_t vectors = c.hidden * c.vocab * (c.tied_head ? 1 : 2);
    return linear_parameters() + static_cast<uint64_t>(norms + vectors);
}

std::vector<Model::NamedLinear> Model::linears() const {
    return impl_->linears;
}

}  // namespace tritbench
