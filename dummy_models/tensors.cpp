// Which tensors a dummy model has.
#include <fmt/format.h>

#include <tuple>

#include "dummy_models/generator.h"

namespace tritbench {

GgmlType DummyTensor::type() const {
    switch (kind) {
        case Kind::Norm:
            return GgmlType::F32;
        case Kind::Embedding:
            return GgmlType::F16;
        case Kind::Ternary:
            break;
    }
    return GgmlType::I2_S;
}

std::vector<DummyTensor> dummy_tensors(const ModelConfig& c) {
    using Kind = DummyTensor::Kind;
    std::vector<DummyTensor> out;
    out.push_back({"token_embd.weight", Kind::Embedding, 0, {c.hidden, c.vocab}});
    out.push_back({"output_norm.weight", Kind::Norm, 1, {c.hidden}});
    if (!c.tied_head) out.push_back({"output.weight", Kind::Embedding, 2, {c.hidden, c.vocab}});
    constexpr uint64_t first = 16, per_layer = 16;
    const auto linears = linear_shapes(c);
    const std::vector<std::tuple<const char*, int64_t, bool>> norms = {
        {"attn_norm", c.hidden, true},
        {"attn_sub_norm", c.heads * c.head_dim, c.sub_norms},
        {"ffn_norm", c.hidden, true},
        {"ffn_sub_norm", c.ffn, c.sub_norms}};
    for (int64_t layer = 0; layer < c.layers; ++layer) {
        uint64_t index = first + static_cast<uint64_t>(layer) * per_layer;
        for (const auto& [role, extent, there] : norms) {
            const uint64_t number = index++;
            if (!there) continue;
            out.push_back(
                {fmt::format("blk.{}.{}.weight", layer, role), Kind::Norm, number, {extent}});
        }
        for (const LinearShape& s : linears) {
            out.push_back({fmt::format("blk.{}.{}.weight", layer, s.role),
                           Kind::Ternary,
                           index++,
                           {s.k, s.n}});
        }
    }
    return out;
}

std::vector<DummyTensor> dummy_tensors(const DummyOptions& options) {
    std::vector<DummyTensor> tensors = dummy_tensors(options.config);
    if (!options.config.tied_head || !options.formats.head) return tensors;
    DummyTensor head = tensors.front();  // its index with it: the same values
    head.name = "output.weight";
    tensors.push_back(head);
    return tensors;
}

}  // namespace tritbench
