#include "model/convert/hf_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <initializer_list>
#include <unordered_set>

#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench {
namespace {

using Role = HfTensor::Role;

bool is_float(TensorDtype dtype) {
    return dtype == TensorDtype::BF16 || dtype == TensorDtype::F16 || dtype == TensorDtype::F32;
}

class Planner {
  public:
    Planner(const HfConfig& config, const SafetensorsFolder& tensors)
        : config_(config), tensors_(tensors) {}

    std::vector<HfTensor> plan() {
        const ModelConfig& m = config_.model;
        matrix("token_embd.weight", Role::Embedding, "model.embed_tokens.weight", m.vocab);
        norm("output_norm.weight", {"model.norm.weight"}, m.hidden);
        if (!m.tied_head) matrix("output.weight", Role::Head, "lm_head.weight", m.vocab);
        for (int64_t layer = 0; layer < m.layers; ++layer) plan_layer(layer);
        refuse_mixed();
        refuse_unused();
        return std::move(plan_);
    }

  private:
    void plan_layer(int64_t layer) {
        const ModelConfig& m = config_.model;
        const int64_t q = m.heads * m.head_dim, kv = m.kv_heads * m.head_dim;
        const std::string to = fmt::format("blk.{}.", layer);
        const std::string from = fmt::format("model.layers.{}.", layer);
        const std::string attn = from + "self_attn.", mlp = from + "mlp.";
        norm(to + "attn_norm.weight", {from + "input_layernorm.weight"}, m.hidden);
        if (m.sub_norms) {
            norm(to + "attn_sub_norm.weight",
                 {attn + "attn_sub_norm.weight", attn + "inner_attn_ln.weight"}, q);
        }
        norm(to + "ffn_norm.weight", {from + "post_attention_layernorm.weight"}, m.hidden);
        if (m.sub_norms) {
            norm(to + "ffn_sub_norm.weight",
                 {mlp + "ffn_sub_norm.weight", mlp + "ffn_layernorm.weight"}, m.ffn);
        }
        const bool permuted = m.rope == RopeKind::Norm;
        linear(to + "attn_q", attn + "q_proj", q, m.hidden, permuted ? m.heads : 0);
        linear(to + "attn_k", attn + "k_proj", kv, m.hidden, permuted ? m.kv_heads : 0);
        linear(to + "attn_v", attn + "v_proj", kv, m.hidden);
        linear(to + "attn_output", attn + "o_proj", m.hidden, q);
        linear(to + "ffn_gate", mlp + "gate_proj", m.ffn, m.hidden);
        linear(to + "ffn_up", mlp + "up_proj", m.ffn, m.hidden);
        linear(to + "ffn_down", mlp + "down_proj", m.hidden, m.ffn);
    }

    const SafetensorsTensor& find(std::initializer_list<std::string> names) {
        for (const std::string& name : names) {
            if (const SafetensorsTensor* found = tensors_.find(name)) {
                used_.insert(found);
                return *found;
            }
        }
        throw Error(fmt::format("{}: tensor '{}' is missing, expected by config.json",
                                printable(tensors_.folder().string(), 300),
                                fmt::join(names, "' or '")));
    }

    void check_shape(const SafetensorsTensor& tensor, std::initializer_list<int64_t> shape) const {
        if (std::equal(tensor.shape.begin(), tensor.shape.end(), shape.begin(), shape.end())) {
            return;
        }
        throw Error(fmt::format("{}: has the shape [{}], expected [{}] by config.json",
                                describe(tensor), fmt::join(tensor.shape, ", "),
                                fmt::join(shape, ", ")));
    }

    void check_float(const SafetensorsTensor& tensor) const {
        if (is_float(tensor.dtype)) return;
        throw Error(fmt::format("{}: is of dtype {}, expected BF16, F16 or F32", describe(tensor),
                                dtype_name(tensor.dtype)));
    }

    void norm(const std::string& name, std::initializer_list<std::string> sources, int64_t size) {
        const SafetensorsTensor& source = find(sources);
        check_shape(source, {size});
        check_float(source);
        plan_.push_back({name, Role::Norm, 1, size, &source});
    }

    void matrix(const std::string& name, Role role, const std::string& from, int64_t rows) {
        const SafetensorsTensor& source = find({from});
        check_shape(source, {rows, config_.model.hidden});
        check_float(source);
        plan_.push_back({name, role, rows, config_.model.hidden, &source});
    }

    void linear(const std::string& name, const std::string& from, int64_t rows, int64_t columns,
                int64_t permuted_heads = 0) {
        const SafetensorsTensor& source = find({from + ".weight"});
        const SafetensorsTensor* scale = nullptr;
        if (source.dtype == TensorDtype::U8) {
            check_shape(source, {(rows + 3) / 4, columns});
            scale = &find({from + ".weight_scale"});
            check_float(*scale);
            if (scale->elements() != 1) check_shape(*scale, {1});
        } else {
            check_shape(source, {rows, columns});
            check_float(source);
        }
        plan_.push_back(
            {name + ".weight", Role::Linear, rows, columns, &source, scale, permuted_heads});
    }

    // Floats beside packed layers were left as they are in training (modules_to_not_convert): to
    // make them ternary would make another model.
    void refuse_mixed() const {
        const auto of_kind = [this](bool packed) {
            return std::find_if(plan_.begin(), plan_.end(), [packed](const HfTensor& t) {
                return t.role == Role::Linear && (t.weight_scale != nullptr) == packed;
            });
        };
        const auto floats = of_kind(false), packed = of_kind(true);
        if (floats == plan_.end() || packed == plan_.end()) return;
        throw Error(
            fmt::format("{}: is of dtype {}, but '{}' is packed; expected linear layers that "
                        "are all packed or all master weights",
                        describe(*floats->source), dtype_name(floats->source->dtype),
                        printable(packed->source->name, 120)));
    }

    // A tensor that is left out makes a model that is silently another one. What may be: the
    // frequencies that old checkpoints carry (they follow from rope_theta), and a head that the
    // config says is the embedding.
    void refuse_unused() const {
        for (const SafetensorsTensor* tensor : tensors_.tensors()) {
            if (used_.contains(tensor) || tensor->name.ends_with(".rotary_emb.inv_freq") ||
                (config_.model.tied_head && tensor->name == "lm_head.weight")) {
                continue;
            }
            throw Error(fmt::format("{}: the graph of architecture {} has no place for it",
                                    describe(*tensor), config_.model.architecture));
        }
    }

    const HfConfig& config_;
    const SafetensorsFolder& tensors_;
    std::vector<HfTensor> plan_;
    std::unordered_set<const SafetensorsTensor*> used_;
};

}  // namespace

std::vector<HfTensor> plan_hf_tensors(const HfConfig& config, const SafetensorsFolder& tensors) {
    return Planner(config, tensors).plan();
}

}  // namespace tritbench
