#include "harness/cli/info_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/config.h"

namespace tritbench::cli {
namespace {

using nlohmann::json;

json scalar_json(const GgufScalar& value) {
    return std::visit([](const auto& v) { return json(v); }, value);
}

json value_json(const GgufValue& value) {
    if (const auto* array = std::get_if<GgufArray>(&value)) {
        auto first = json::array();
        for (const GgufScalar& element : array->values(16)) first.push_back(scalar_json(element));
        return {{"count", array->count}, {"first", first}};
    }
    return std::visit(
        [](const auto& v) {
            if constexpr (std::is_same_v<std::decay_t<decltype(v)>, GgufArray>) {
                return json();
            } else {
                return json(v);
            }
        },
        value);
}

json tensor_json(const GgufFile& file, const GgufTensor& t, const TensorCheck* check) {
    json row = {{"name", t.name},
                {"type", ggml_type_name(t.type)},
                {"ne", t.ne},
                {"offset", t.file_offset},
                {"bytes", t.data ? json(t.bytes) : json()}};
    if (check) {
        row["right"] = check->problem.empty();
        if (!check->problem.empty()) row["problem"] = check->problem;
        if (check->ternary) {
            row["scale"] = check->scale;
            row["zero_fraction"] = ZeroFraction{check->zeros, weights_of(file, t)}.value();
        }
    }
    return row;
}

json model_json(const ModelConfig& c) {
    return {{"architecture", c.architecture}, {"activation", activation_name(c.activation)},
            {"rope", rope_kind_name(c.rope)}, {"sub_norms", c.sub_norms},
            {"head_dim", c.head_dim},         {"tied_head", c.tied_head}};
}

json dummy_json(const DummyFacts& facts) {
    json out = {{"version", facts.version},
                {"seed", facts.seed},
                {"zeros", facts.zeros},
                {"positive", facts.positive},
                {"scale_spread", facts.scale_spread}};
    if (facts.ffn_zeros) out["ffn_zeros"] = *facts.ffn_zeros;
    return out;
}

}  // namespace

void print_json(const GgufFile& file, const Totals& totals, const std::vector<TensorCheck>& checks,
                const std::optional<ZeroFraction>& zeros) {
    const auto count = [&](Part part) {
        const auto found = totals.parameters.find(part);
        return found == totals.parameters.end() ? uint64_t{0} : found->second;
    };
    auto metadata = json::object();
    for (const auto& [key, value] : file.metadata()) metadata[key] = value_json(value);
    auto tensors = json::array();
    for (size_t i = 0; i < file.tensors().size(); ++i) {
        tensors.push_back(
            tensor_json(file, file.tensors()[i], checks.empty() ? nullptr : &checks[i]));
    }
    json out = {{"file", file.path().string()},
                {"file_bytes", file.file_bytes()},
                {"gguf_version", file.version()},
                {"parameters",
                 {{"linear", count(Part::Linear)},
                  {"embedding", count(Part::Embedding)},
                  {"head", count(Part::Head)},
                  {"norms", count(Part::Norm)},
                  {"other", count(Part::Other)},
                  {"total", totals.all_parameters}}},
                {"bytes_by_type", totals.bytes_by_type},
                {"metadata", metadata},
                {"tensors", tensors}};
    if (!checks.empty()) {
        out["right"] = std::all_of(checks.begin(), checks.end(),
                                   [](const TensorCheck& c) { return c.problem.empty(); });
    }
    if (const std::string problem = config_problem(file); !problem.empty()) {
        out["not_a_model"] = problem;
    } else {
        out["model"] = model_json(read_config(file));
    }
    if (const auto dummy = dummy_facts(file)) out["dummy"] = dummy_json(*dummy);
    if (zeros) out["zero_fraction"] = zeros->value();
    // Texts in a file need not be UTF-8.
    fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
}

}  // namespace tritbench::cli
