#include "harness/gbench/gbench_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string_view>

#include "harness/axes.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench {
namespace {

constexpr std::string_view kPrefix = "--tritbench_";

struct FlagText {
    const char* name;
    const char* values;
    const char* meaning;
    std::function<void(GbenchFlags&, const std::string&)> set;
};

const std::vector<FlagText>& flag_texts() {
    static const std::vector<FlagText> texts = {
        {"kernels", "GLOBS", "kernel ids, comma separated, ! excludes (default: *)",
         [](GbenchFlags& f, const std::string& v) { f.kernels = v; }},
        {"shapes", "SHAPES", "NxK, or the layers of a model: 2B-4T, 7B:ffn_down (default: 2B-4T)",
         [](GbenchFlags& f, const std::string& v) { f.shapes = v; }},
        {"batch", "COUNTS", "tokens multiplied together: 1,8 or 1..64*2 (default: 1)",
         [](GbenchFlags& f, const std::string& v) { f.batches = v; }},
        {"threads", "COUNTS", "threads of tritbench's own pool: 1,2 or 1..n (default: 1)",
         [](GbenchFlags& f, const std::string& v) { f.threads = v; }},
        {"cache", "STATES", "hot, cold or both (default: hot)",
         [](GbenchFlags& f, const std::string& v) { f.caches = v; }},
        {"tile", "NAME=VALUE,...", "a tile, or all; repeat for more (default: each kernel's own)",
         [](GbenchFlags& f, const std::string& v) {
             if (f.tiles.front().empty()) f.tiles.clear();
             f.tiles.push_back(v);
         }},
        {"seed", "NUMBER", "of weights and activations (default: 1)",
         [](GbenchFlags& f, const std::string& v) {
             f.seed = static_cast<uint64_t>(parse_count(v, 0, "--tritbench_seed"));
         }},
    };
    return texts;
}

void take_one(std::string_view word, GbenchFlags& flags) {
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(kPrefix.size(), equals - kPrefix.size());
    std::vector<std::string> known;
    for (const FlagText& text : flag_texts()) {
        known.emplace_back(text.name);
        if (name != text.name) continue;
        if (equals == std::string_view::npos || equals + 1 == word.size()) {
            throw Error(fmt::format("{}{}: has no value; expected {}{}={}", kPrefix, name, kPrefix,
                                    name, text.values));
        }
        return text.set(flags, std::string(word.substr(equals + 1)));
    }
    throw Error(fmt::format("unknown flag {}{}{}; known: {}", kPrefix, name,
                            did_you_mean(name, known), fmt::join(known, ", ")));
}

}  // namespace

GbenchFlags take_gbench_flags(int* argc, char** argv) {
    GbenchFlags flags;
    int kept = 1;
    for (int i = 1; i < *argc; ++i) {
        const std::string_view word = argv[i];
        if (word.starts_with(kPrefix)) {
            take_one(word, flags);
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    argv[kept] = nullptr;
    return flags;
}

std::string gbench_help() {
    std::string help;
    for (const FlagText& text : flag_texts()) {
        help += fmt::format("          [{}{}=<{}>]  {}\n", kPrefix, text.name, text.values,
                            text.meaning);
    }
    return help;
}

std::vector<Cell> gbench_cells(const GbenchFlags& flags) {
    KernelAxes axes;
    axes.spec = "gbench";
    axes.kernels = match_kernels(flags.kernels);
    axes.tiles = flags.tiles;
    for (const std::string& text : split_list(flags.shapes)) {
        for (const tb_shape shape : parse_shapes(text, "--tritbench_shapes")) {
            axes.shapes.push_back(shape);
        }
    }
    axes.batches.clear();
    for (const std::string& text : split_list(flags.batches)) {
        for (const int64_t m : parse_counts(text, 1, "--tritbench_batch")) {
            axes.batches.push_back(m);
        }
    }
    axes.threads.clear();
    for (const std::string& text : split_list(flags.threads)) {
        for (const int t : parse_threads(text, "--tritbench_threads")) axes.threads.push_back(t);
    }
    axes.caches.clear();
    for (const std::string& text : split_list(flags.caches)) {
        axes.caches.push_back(parse_cache(text, "--tritbench_cache"));
    }
    std::vector<Cell> cells = kernel_cells(axes);
    const std::string why = cells.empty() ? "" : cells.front().unavailable;
    std::erase_if(cells, [](const Cell& cell) { return !cell.unavailable.empty(); });
    if (cells.empty()) {
        throw Error(fmt::format("none of these products can be measured here; the first: {}", why));
    }
    return cells;
}

std::string gbench_name(const Cell& cell) {
    std::string name =
        fmt::format("{}/{}x{}/batch:{}/threads:{}/{}", cell.kernel().id, cell.shape.n, cell.shape.k,
                    cell.batch, cell.threads, cache_name(cell.cache));
    const std::string tile = tile_name(cell.kernel(), cell.tile());
    if (tile != tile_name(cell.kernel(), default_tile(cell.kernel()))) name += "/" + tile;
    return name;
}

}  // namespace tritbench
