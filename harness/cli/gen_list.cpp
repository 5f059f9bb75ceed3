#include "harness/cli/gen_list.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "harness/named_plan.h"
#include "kernels/api/error.h"

namespace tritbench::cli {
namespace {

std::optional<uint64_t> file_bytes_in(const ModelConfig& config, const DummyFormats& formats) {
    DummyOptions options{config};
    options.formats = formats;
    try {
        return dummy_file_bytes(options);
    } catch (const Error&) {
        return std::nullopt;  // a K that the format cannot hold
    }
}

double gigabytes(uint64_t bytes) {
    return static_cast<double>(bytes) * 1e-9;
}

nlohmann::json preset_json(const Preset& p, const std::vector<GenListColumn>& columns) {
    const ModelConfig& c = p.config;
    auto files = nlohmann::json::object();
    for (const GenListColumn& column : columns) {
        const auto bytes = file_bytes_in(c, column.formats);
        files[column.name] = bytes ? nlohmann::json(*bytes) : nlohmann::json();
    }
    return {{"name", p.name},
            {"alias", p.alias},
            {"parameters", count_parameters(c).total()},
            {"file_bytes", dummy_file_bytes({c})},
            {"file_bytes_by_format", files},
            {"memory_bytes", memory_to_run(c)},
            {"architecture", c.architecture},
            {"hidden", c.hidden},
            {"ffn", c.ffn},
            {"layers", c.layers},
            {"heads", c.heads},
            {"kv_heads", c.kv_heads},
            {"head_dim", c.head_dim},
            {"vocab", c.vocab},
            {"context", c.context},
            {"rope_base", c.rope_base},
            {"tied_head", c.tied_head},
            {"source", p.source}};
}

}  // namespace

std::vector<GenListColumn> usual_formats() {
    std::vector<GenListColumn> columns;
    for (const char* name : {"i2_s", "i2r", "t5r", "tl2", "tq1_0", "f16"}) {
        columns.push_back({name, {}});
        parse_linear_formats(name, columns.back().formats);
    }
    return columns;
}

uint64_t memory_to_run(const ModelConfig& c) {
    const auto layers = static_cast<uint64_t>(c.layers);
    const ParameterCounts counts = count_parameters(c);
    const auto cached = static_cast<uint64_t>(c.kv_heads * c.head_dim * c.context);
    return layers * layer_bytes(plan_named("default", c), c) +
           2 * (counts.embedding + counts.head) + 4 * counts.norms +
           2 * layers * cached * 2;  // keys and values, in two bytes
}

void print_presets(const std::vector<GenListColumn>& columns, bool as_json) {
    if (as_json) {
        auto rows = nlohmann::json::array();
        for (const Preset& p : presets()) rows.push_back(preset_json(p, columns));
        fmt::print("{}\n", rows.dump(2));
        return;
    }
    fmt::print("{:<29}{:<12}{:>13} {:>6} {:>6} {:>6} {:>7} {:>6}", "preset", "alias", "parameters",
               "layers", "hidden", "ffn", "heads", "vocab");
    for (const GenListColumn& column : columns) fmt::print(" {:>8}", column.name);
    fmt::print(" {:>8}\n", "memory");
    for (const Preset& p : presets()) {
        const ModelConfig& c = p.config;
        fmt::print("{:<29}{:<12}{:>13} {:>6} {:>6} {:>6} {:>7} {:>6}", p.name, p.alias,
                   count_parameters(c).total(), c.layers, c.hidden, c.ffn,
                   fmt::format("{}/{}", c.heads, c.kv_heads), c.vocab);
        for (const GenListColumn& column : columns) {
            const auto bytes = file_bytes_in(c, column.formats);
            fmt::print(" {:>8}", bytes ? fmt::format("{:.2f}", gigabytes(*bytes)) : "-");
        }
        fmt::print(" {:>8.2f}\n", gigabytes(memory_to_run(c)));
    }
    fmt::print(
        "\nGB: file in each format of the linear layers, with an f16 embedding (-: cannot hold its "
        "K).\nmemory: to run it here, linear layers as the default plan packs them, embedding and "
        "head f16, and the f16 KV cache of the whole context.\n");
}

}  // namespace tritbench::cli
