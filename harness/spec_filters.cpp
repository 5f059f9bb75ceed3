#include "harness/spec_filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "dummy_models/presets.h"
#include "harness/axes.h"
#include "harness/pins.h"
#include "harness/spec_table.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench {
namespace {

bool is_one_of(std::string_view axis, std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), axis) != names.end();
}

std::vector<std::string> number_values(const SpecTable& table, const std::string& axis) {
    std::vector<std::string> values;
    for (const int64_t count : table.counts(axis, 0, {}))
        values.push_back(fmt::format("{}", count));
    return values;
}

std::vector<std::string> thread_values(const SpecTable& table) {
    std::vector<std::string> values;
    for (const std::string& text : table.texts("threads", {})) {
        for (const int t : parse_threads(text, table.at("threads"))) {
            values.push_back(fmt::format("{}", t));
        }
    }
    return values;
}

std::vector<std::string> pin_values(const SpecTable& table) {
    std::vector<std::string> values;
    for (const std::string& text : table.texts("pins", {})) {
        const std::string policy = parse_pins(text, table.at("pins"));
        values.push_back(policy.empty() ? "default" : policy);
    }
    return values;
}

std::vector<std::string> shape_values(const SpecTable& table) {
    std::vector<std::string> values;
    for (const std::string& text : table.texts("shapes", {})) {
        for (const tb_shape shape : parse_shapes(text, table.at("shapes"))) {
            values.push_back(fmt::format("{}x{}", shape.n, shape.k));
        }
    }
    return values;
}

// A preset by the name that its cells have; others are files, and globs, as they are.
std::vector<std::string> model_values(const SpecTable& table) {
    auto values = table.texts("models", {});
    for (std::string& value : values) {
        try {
            const Preset& preset = find_preset(value);
            value = preset.alias.empty() ? preset.name : preset.alias;
        } catch (const Error&) {
            continue;
        }
    }
    return values;
}

// Texts, each held against those that the axis can have.
std::vector<std::string> known_values(const SpecTable& table, const std::string& axis,
                                      const std::vector<std::string>& known) {
    auto values = table.texts(axis, {});
    for (const std::string& value : values) {
        if (std::find(known.begin(), known.end(), value) != known.end()) continue;
        throw Error(fmt::format("{}: '{}' is not known; expected one of {}{}", table.at(axis),
                                value, fmt::join(known, ", "), did_you_mean(value, known)));
    }
    return values;
}

template <class Of>
std::vector<std::string> of_registry(Of&& of) {
    std::vector<std::string> names;
    for (const tb_kernel* kernel : all_kernels()) {
        const std::string name = of(*kernel);
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    return names;
}

CellCondition read_condition(const SpecTable& table, const std::string& axis) {
    if (is_one_of(axis, {"batch", "prefill", "decode", "depth", "sequences", "prefill_batch"})) {
        return {axis, number_values(table, axis)};
    }
    if (axis == "pins") return {axis, pin_values(table)};
    if (axis == "threads") return {axis, thread_values(table)};
    if (axis == "shapes") return {axis, shape_values(table)};
    if (axis == "activation_zeros") {
        std::vector<std::string> values;
        for (const double share : table.shares(axis, {})) values.push_back(share_text(share));
        return {axis, values};
    }
    if (axis == "level") return {axis, known_values(table, axis, {"kernel", "e2e"})};
    if (axis == "cache") return {axis, known_values(table, axis, {"hot", "cold"})};
    if (axis == "phase") {
        return {axis,
                known_values(table, axis, {"gemv", "gemm", "prefill", "decode", "prefill+decode"})};
    }
    if (axis == "modes") {
        return {axis, known_values(table, axis, {"full", "shape_only", "layer_window"})};
    }
    if (axis == "cache_types") return {axis, known_values(table, axis, {"f16", "f32"})};
    if (axis == "isa") {
        return {axis, known_values(table, axis, of_registry([](const tb_kernel& k) {
                                       return std::string(k.isa);
                                   }))};
    }
    if (axis == "layouts") {
        return {axis, known_values(table, axis, of_registry([](const tb_kernel& k) {
                                       return std::string(k.layout);
                                   }))};
    }
    if (axis == "models") return {axis, model_values(table)};
    auto values = table.texts(axis, {});
    if (axis == "kernels") {
        // A glob that nothing matches was not meant; "!" has no place in a condition.
        for (const std::string& glob : values) {
            table.located("kernels", [&] {
                if (glob.find_first_of("!,") != std::string::npos) {
                    throw Error(fmt::format("'{}': expected one glob, as in i2s_*", glob));
                }
                return match_kernels(glob);
            });
        }
    }
    return {axis, values};
}

CellFilter read_filter(const std::string& file, const toml::table& toml, const std::string& key) {
    const SpecTable table(file, toml, key, filter_axes());
    CellFilter filter;
    for (const auto& [name, node] : toml) {
        filter.conditions.push_back(read_condition(table, std::string(name.str())));
    }
    if (filter.conditions.empty()) {
        throw Error(fmt::format("{}: {} has no condition; expected e.g. kernels = \"i2s_*\"",
                                table.at(nullptr), key));
    }
    return filter;
}

std::vector<CellFilter> read_filters(const std::string& file, const toml::table& table,
                                     const std::string& key) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return {};
    if (const toml::table* one = node->as_table()) return {read_filter(file, *one, key)};
    const toml::array* list = node->as_array();
    if (list == nullptr || list->empty() || !list->is_homogeneous(toml::node_type::table)) {
        throw Error(
            fmt::format("{}:{}: {}: expected tables of conditions, as in {{kernels = "
                        "\"i2s_*\", threads = 2}}",
                        file, node->source().begin.line, key));
    }
    std::vector<CellFilter> filters;
    for (const toml::node& element : *list) {
        filters.push_back(read_filter(file, *element.as_table(), key));
    }
    return filters;
}

}  // namespace

CellSelection read_selection(const std::string& file, const toml::table& table) {
    CellSelection selection;
    selection.exclude = read_filters(file, table, "exclude");
    const std::vector<CellFilter> only = read_filters(file, table, "filter");
    if (!only.empty()) selection.only.push_back(only);
    return selection;
}

}  // namespace tritbench
