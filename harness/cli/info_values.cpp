#include "harness/cli/info_values.h"

#include "dummy_models/weights.h"
#include "kernels/api/error.h"
#include "model/config.h"
#include "model/ternary_matrix.h"

namespace tritbench::cli {
namespace {

Part part_of(const GgufTensor& t) {
    if (t.name == "token_embd.weight") return Part::Embedding;
    if (t.name == "output.weight") return Part::Head;
    if (t.name.ends_with("_norm.weight")) return Part::Norm;
    return is_linear(t) || t.ne.size() >= 2 ? Part::Linear : Part::Other;
}

// One scale or several: the first says how large they are.
TensorCheck check_ternary(const GgufFile& file, const GgufTensor& tensor,
                          const LoadOptions& options, ThreadPool& pool) {
    const TernaryMatrix matrix(pool, StoredMatrix(file, tensor, options));
    TensorCheck check;
    check.ternary = true;
    check.zeros = matrix.zeros();
    check.scale = matrix.scale();
    return check;
}

TensorCheck check_linear(const GgufFile& file, const GgufTensor& tensor, const LoadOptions& options,
                         ThreadPool& pool) {
    // Floats need not be ternary to be right.
    TensorCheck plain = check_tensor(tensor, pool);
    if (!plain.problem.empty()) return plain;
    try {
        return check_ternary(file, tensor, options, pool);
    } catch (const Error& e) {
        const tb_kernel* codec = codec_of(tensor.type);
        const bool floats = codec != nullptr && codec->weight_kind != TB_WEIGHT_TERNARY;
        if (!floats) plain.problem = e.what();
        return plain;
    }
}

}  // namespace

Totals totals_of(const GgufFile& file) {
    Totals totals;
    for (const GgufTensor& t : file.tensors()) {
        const uint64_t elements = weights_of(file, t);
        totals.parameters[part_of(t)] += elements;
        totals.bytes_by_type[ggml_type_name(t.type)] += t.bytes;
        totals.all_parameters += elements;
        totals.all_bytes += t.bytes;
        if (is_linear(t)) totals.linear_bytes += t.bytes;
    }
    return totals;
}

std::string config_problem(const GgufFile& file) {
    try {
        read_config(file);
        return "";
    } catch (const Error& e) {
        return e.what();
    }
}

bool is_linear(const GgufTensor& tensor) {
    return tensor.name.starts_with("blk.") && tensor.name.ends_with(".weight") &&
           !tensor.name.ends_with("_norm.weight");
}

uint64_t weights_of(const GgufFile& file, const GgufTensor& tensor) {
    if (tensor.type == GgmlType::I8 && is_linear(tensor)) {
        try {
            const tb_shape shape = StoredMatrix(file, tensor).shape();
            return static_cast<uint64_t>(shape.n) * static_cast<uint64_t>(shape.k);
        } catch (const Error&) {
            // Then it is what its type says.
        }
    }
    return static_cast<uint64_t>(tensor.elements());
}

std::vector<TensorCheck> check_values(const GgufFile& file, const LoadOptions& options,
                                      ThreadPool& pool) {
    std::vector<TensorCheck> checks;
    for (const GgufTensor& t : file.tensors()) {
        checks.push_back(is_linear(t) ? check_linear(file, t, options, pool)
                                      : check_tensor(t, pool));
    }
    return checks;
}

std::optional<ZeroFraction> zero_fraction(const GgufFile& file, const LoadOptions& options,
                                          ThreadPool& pool) {
    ZeroFraction sum;
    for (const GgufTensor& t : file.tensors()) {
        if (!is_linear(t)) continue;
        try {
            sum.zeros += check_ternary(file, t, options, pool).zeros;
            sum.weights += weights_of(file, t);
        } catch (const Error&) {
            // Not ternary, or damaged: --verify says what.
        }
    }
    return sum.weights > 0 ? std::optional(sum) : std::nullopt;
}

std::optional<double> trained_activation_zeros(const GgufFile& file) {
    const GgufValue* found = file.find("tritbench.ffn_down_zeros");
    const auto* layers = found != nullptr ? std::get_if<GgufArray>(found) : nullptr;
    if (layers == nullptr || layers->count == 0) return std::nullopt;
    double sum = 0;
    for (const GgufScalar& layer : layers->values()) {
        const auto* fraction = std::get_if<double>(&layer);
        if (fraction == nullptr) return std::nullopt;
        sum += *fraction;
    }
    return sum / static_cast<double>(layers->count);
}

std::optional<DummyFacts> dummy_facts(const GgufFile& file) {
    const std::string keys = "tritbench.dummy.";
    const GgufValue* seed = file.find(keys + "seed");
    if (seed == nullptr || !std::holds_alternative<uint64_t>(*seed)) return std::nullopt;
    DummyFacts facts;
    facts.seed = std::get<uint64_t>(*seed);
    facts.version = static_cast<uint64_t>(file.integer(keys + "version", 0));
    facts.zeros = file.number(keys + "zero_fraction", 0);
    facts.positive = file.number(keys + "positive", kDummyPositive);
    facts.scale_spread = file.number(keys + "scale_spread", kDummyScaleSpread);
    if (file.find(keys + "ffn_zeros") != nullptr) {
        facts.ffn_zeros = file.number(keys + "ffn_zeros");
    }
    return facts;
}

}  // namespace tritbench::cli
