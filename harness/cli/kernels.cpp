// tritbench kernels: the registry.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "harness/cli/commands.h"
#include "harness/report.h"
#include "kernels/api/cpu.h"
#include "kernels/api/registry.h"

namespace tritbench::cli {
namespace {

struct KernelsFlags {
    std::string glob = "*";
    bool json = false, csv = false;
};

std::string tiles_text(const tb_kernel& kernel) {
    std::vector<std::string> params;
    for (int32_t i = 0; i < kernel.tile_param_count; ++i) {
        const tb_tile_param& p = kernel.tile_params[i];
        params.push_back(
            fmt::format("{}={{{}}}", p.name, fmt::join(p.values, p.values + p.value_count, ",")));
    }
    return fmt::format("{}", fmt::join(params, " "));
}

nlohmann::ordered_json describe(const tb_kernel& kernel) {
    const std::string why = why_not_here(kernel);
    nlohmann::ordered_json tiles = nlohmann::ordered_json::array();
    for (int32_t i = 0; i < kernel.tile_param_count; ++i) {
        const tb_tile_param& p = kernel.tile_params[i];
        tiles.push_back({{"name", p.name},
                         {"values", std::vector<int32_t>(p.values, p.values + p.value_count)},
                         {"default", p.default_value}});
    }
    return {{"id", kernel.id},
            {"layout", kernel.layout},
            {"isa", kernel.isa},
            {"features", feature_names(kernel.features)},
            {"bits_per_weight", bits_per_weight(kernel)},
            {"exactness", exactness_name(kernel.exactness)},
            {"tiles", tiles},
            {"runs_here", why.empty()},
            {"why_not", why},
            {"description", kernel.description},
            {"source", kernel.source},
            {"object_hash", object_hash(kernel)}};
}

void print_csv(const std::vector<const tb_kernel*>& kernels) {
    fmt::print("id,layout,isa,bits_per_weight,exactness,tiles,runs_here,why_not,description\n");
    for (const tb_kernel* k : kernels) {
        const std::string why = why_not_here(*k);
        fmt::print("{},{},{},{:.4f},{},{},{},{},{}\n", k->id, k->layout, k->isa,
                   bits_per_weight(*k), exactness_name(k->exactness), csv_field(tiles_text(*k)),
                   why.empty(), csv_field(why), csv_field(k->description));
    }
}

void print_table(const std::vector<const tb_kernel*>& kernels) {
    std::vector<std::vector<std::string>> table = {
        {"id", "isa", "bits/w", "class", "tiles", "here", "description"}};
    for (const tb_kernel* k : kernels) {
        const std::string why = why_not_here(*k);
        table.push_back({k->id, k->isa, fmt::format("{:.2f}", bits_per_weight(*k)),
                         std::string(exactness_name(k->exactness)), tiles_text(*k),
                         why.empty() ? "yes" : "no: " + why, k->description});
    }
    fmt::print("{}", text_table(table));
}

}  // namespace

void add_kernels(CLI::App& app, int* /*exit_code*/) {
    auto options = std::make_shared<KernelsFlags>();
    CLI::App* command = app.add_subcommand(
        "kernels",
        "List the kernels: id, ISA, bits per weight, exactness, tiles, runs here or not");
    command->add_option("glob", options->glob, "Only kernels that match, e.g. 'i2s_*'");
    auto* json = command->add_flag("--json", options->json, "As JSON");
    command->add_flag("--csv", options->csv, "As CSV")->excludes(json);
    command->callback([options] {
        const auto kernels = match_kernels(options->glob);
        if (options->json) {
            nlohmann::ordered_json list = nlohmann::ordered_json::array();
            for (const tb_kernel* kernel : kernels) list.push_back(describe(*kernel));
            fmt::print("{}\n", list.dump(2));
        } else if (options->csv) {
            print_csv(kernels);
        } else {
            print_table(kernels);
        }
    });
}

}  // namespace tritbench::cli
