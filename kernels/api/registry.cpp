#include "kernels/api/registry.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <charconv>

#include "kernels/api/cpu.h"
#include "kernels/api/edit_distance.h"
#include "kernels/api/error.h"
#include "kernels/api/registry_table.h"

namespace tritbench {

namespace {

std::vector<const tb_kernel*> collect() {
    std::vector<const tb_kernel*> kernels;
    for (const RegistryEntry& entry : registry_entries()) {
        for (uint32_t i = 0; i < entry.table->count; ++i)
            kernels.push_back(entry.table->kernels[i]);
    }
    return kernels;
}

std::string nearest_ids(std::string_view glob) {
    std::vector<const tb_kernel*> kernels(all_kernels().begin(), all_kernels().end());
    std::sort(kernels.begin(), kernels.end(), [&](const tb_kernel* a, const tb_kernel* b) {
        return std::pair(edit_distance(glob, a->id), std::string_view(a->id)) <
               std::pair(edit_distance(glob, b->id), std::string_view(b->id));
    });
    std::string names;
    for (size_t i = 0; i < std::min<size_t>(3, kernels.size()); ++i) {
        names += (i == 0 ? "" : ", ") + std::string(kernels[i]->id);
    }
    return names;
}

bool matches(std::string_view glob, const tb_kernel& kernel) {
    return fnmatch(std::string(glob).c_str(), kernel.id, 0) == 0;
}

void set_tile_value(const tb_kernel& kernel, std::string_view item, tb_tile& tile) {
    const size_t equals = item.find('=');
    const std::string_view name = item.substr(0, equals);
    for (int32_t i = 0; i < kernel.tile_param_count; ++i) {
        const tb_tile_param& param = kernel.tile_params[i];
        if (name != param.name) continue;
        int32_t value = 0;
        const std::string_view text =
            equals == std::string_view::npos ? "" : item.substr(equals + 1);
        const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
        const int32_t* end = param.values + param.value_count;
        if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() ||
            std::find(param.values, end, value) == end) {
            throw Error(fmt::format("tile '{}': '{}' is not a value of {}; allowed: {}", item, text,
                                    name, fmt::join(param.values, end, ", ")));
        }
        tile.value[i] = value;
        return;
    }
    std::vector<std::string_view> names;
    for (int32_t i = 0; i < kernel.tile_param_count; ++i) {
        names.emplace_back(kernel.tile_params[i].name);
    }
    throw Error(fmt::format("tile '{}': kernel {} has no tile parameter '{}'; it has: {}", item,
                            kernel.id, name,
                            names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))));
}

}  // namespace

std::span<const tb_kernel* const> all_kernels() {
    static const std::vector<const tb_kernel*> kernels = collect();
    return kernels;
}

const tb_kernel* find_kernel(std::string_view id) {
    for (const tb_kernel* kernel : all_kernels()) {
        if (id == kernel->id) return kernel;
    }
    return nullptr;
}

std::vector<const tb_kernel*> match_kernels(std::string_view globs) {
    std::vector<bool> chosen(all_kernels().size(), false);
    size_t begin = 0;
    while (begin <= globs.size()) {
        size_t end = globs.find(',', begin);
        if (end == std::string_view::npos) end = globs.size();
        std::string_view glob = globs.substr(begin, end - begin);
        begin = end + 1;
        if (glob.empty()) continue;
        const bool negated = glob.front() == '!';
        if (negated) glob.remove_prefix(1);
        bool any = false;
        for (size_t i = 0; i < chosen.size(); ++i) {
            if (!matches(glob, *all_kernels()[i])) continue;
            chosen[i] = !negated;
            any = true;
        }
        if (!any) {
            throw Error(fmt::format(
                "kernel '{}' matches no kernel; nearest: {} ('tritbench kernels' lists all)", glob,
                nearest_ids(glob)));
        }
    }
    std::vector<const tb_kernel*> kernels;
    for (size_t i = 0; i < chosen.size(); ++i) {
        if (chosen[i]) kernels.push_back(all_kernels()[i]);
    }
    if (kernels.empty()) throw Error(fmt::format("kernel '{}' selects no kernel", globs));
    return kernels;
}

std::string why_not_here(const tb_kernel& kernel) {
    const tb_features missing = kernel.features & ~allowed_features();
    if (missing == 0) return "";
    const tb_features absent = kernel.features & ~detected_features();
    if (absent != 0) return "this CPU lacks " + feature_names(absent);
    return feature_names(missing) + " taken away by TRITBENCH_CPU";
}

const tb_kernel* best_kernel_of_layout(std::string_view layout) {
    const tb_kernel* best = nullptr;
    for (const tb_kernel* kernel : all_kernels()) {
        if (layout == kernel->layout && runs_here(*kernel)) best = kernel;
    }
    return best;
}

std::string_view exactness_name(tb_exactness exactness) {
    switch (exactness) {
        case TB_EXACT:
            return "exact";
        case TB_BOUNDED:
            return "bounded";
        case TB_LOSSY:
            return "lossy";
    }
    return "?";
}

double bits_per_weight(const tb_kernel& kernel) {
    return static_cast<double>(kernel.bits_num) / kernel.bits_den;
}

std::string tile_name(const tb_kernel& kernel, const tb_tile& tile) {
    std::string name;
    for (int32_t i = 0; i < kernel.tile_param_count; ++i) {
        name +=
            fmt::format("{}{}={}", i == 0 ? "" : ",", kernel.tile_params[i].name, tile.value[i]);
    }
    return name;
}

tb_tile default_tile(const tb_kernel& kernel) {
    tb_tile tile{};
    for (int32_t i = 0; i < kernel.tile_param_count; ++i) {
        const tb_tile_param& param = kernel.tile_params[i];
        const bool hardware_suffices = std::string_view(param.name) == "prefetch" &&
                                       param.values[0] == 0 && cpu_prefetches_well();
        tile.value[i] = hardware_suffices ? 0 : param.default_value;
    }
    return tile;
}

tb_tile parse_tile(const tb_kernel& kernel, std::string_view text) {
    tb_tile tile = default_tile(kernel);
    size_t begin = 0;
    while (begin <= text.size()) {
        size_t end = text.find(',', begin);
        if (end == std::string_view::npos) end = text.size();
        if (end > begin) set_tile_value(kernel, text.substr(begin, end - begin), tile);
        begin = end + 1;
    }
    return tile;
}

void require_accepts(const tb_kernel& kernel, const tb_shape& shape, const tb_tile& tile) {
    const tb_status status = kernel.accepts(&shape, &tile);
    if (status.code == TB_OK) return;
    const std::string tiles = tile_name(kernel, tile);
    throw Error(fmt::format("kernel {} refuses N={} K={}{}: {}", kernel.id, shape.n, shape.k,
                            tiles.empty() ? "" : " tile " + tiles,
                            status.reason != nullptr ? status.reason : "no reason given"));
}

std::string_view object_hash(const tb_kernel& kernel) {
    for (const RegistryEntry& entry : registry_entries()) {
        for (uint32_t i = 0; i < entry.table->count; ++i) {
            if (entry.table->kernels[i] != &kernel) continue;
            for (const ObjectHash& object : object_hashes()) {
                if (object.library == "kernel_" + std::string(entry.file)) return object.hash;
            }
        }
    }
    return "";
}

}  // namespace tritbench
