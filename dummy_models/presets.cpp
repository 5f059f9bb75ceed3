#include "dummy_models/presets.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <sstream>

#include "kernels/api/edit_distance.h"
#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench {
namespace {

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
}

Preset parse_preset(const std::string& line, int number) {
    std::istringstream in(line);
    Preset preset;
    ModelConfig& c = preset.config;
    std::string architecture, head, rest;
    in >> preset.name >> preset.alias >> architecture >> c.hidden >> c.ffn >> c.layers >> c.heads >>
        c.kv_heads >> c.head_dim >> c.vocab >> c.context >> c.rope_base >> head >> preset.source;
    if (!in || (in >> rest) || (head != "tied" && head != "separate") ||
        !set_architecture(c, architecture)) {
        throw Error(fmt::format("presets.txt, line {}: '{}', expected 14 columns as in its heading",
                                number, printable(line, 200)));
    }
    if (preset.alias == "-") preset.alias.clear();
    c.name = "dummy-" + (preset.alias.empty() ? preset.name : preset.alias);
    c.tied_head = head == "tied";
    check_shape(c);
    return preset;
}

void check_range(const char* what, int64_t value, int64_t most) {
    if (value < 1 || value > most) {
        throw Error(fmt::format("{} is {}, expected 1 to {}", what, value, most));
    }
}

// Limits far above any model, so that products of them cannot overflow and a slip of the keyboard
// does not ask for a petabyte of tensor names.
constexpr int64_t kMostFeatures = int64_t{1} << 20;
constexpr int64_t kMostLayers = 4096;
constexpr int64_t kMostTokens = int64_t{1} << 26;

}  // namespace

std::vector<Preset> parse_presets(std::string_view text) {
    std::vector<Preset> out;
    std::istringstream in{std::string(text)};
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
        if (!line.empty() && line[0] != '#') out.push_back(parse_preset(line, number));
    }
    return out;
}

const std::vector<Preset>& presets() {
    static const std::vector<Preset> all = parse_presets(presets_text());
    return all;
}

const Preset& find_preset(std::string_view name) {
    const std::string wanted = lower(name.substr(0, 64));
    const Preset* nearest = nullptr;
    size_t least = SIZE_MAX;
    std::string names;
    for (const Preset& preset : presets()) {
        for (const std::string& candidate : {preset.name, preset.alias}) {
            if (candidate.empty()) continue;
            const size_t away = edit_distance(wanted, lower(candidate));
            if (away == 0) return preset;
            if (away < least) {
                least = away;
                nearest = &preset;
            }
        }
        names += (names.empty() ? "" : ", ") + (preset.alias.empty() ? preset.name : preset.alias);
    }
    throw Error(fmt::format("unknown preset '{}'; did you mean '{}'? There are: {}",
                            printable(name),
                            nearest->alias.empty() ? nearest->name : nearest->alias, names));
}

ParameterCounts count_parameters(const ModelConfig& c) {
    const auto u = [](int64_t value) { return static_cast<uint64_t>(value); };
    ParameterCounts counts;
    for (const LinearShape& s : linear_shapes(c)) counts.linear += u(c.layers) * u(s.n) * u(s.k);
    counts.embedding = u(c.vocab) * u(c.hidden);
    if (!c.tied_head) counts.head = counts.embedding;
    // attn_norm, ffn_norm, and where the graph has them attn_sub_norm, ffn_sub_norm; output_norm.
    const uint64_t sub_norms = c.sub_norms ? u(c.heads) * u(c.head_dim) + u(c.ffn) : 0;
    counts.norms = u(c.layers) * (2 * u(c.hidden) + sub_norms) + u(c.hidden);
    return counts;
}

void check_shape(const ModelConfig& c) {
    check_range("hidden (K of most linear layers)", c.hidden, kMostFeatures);
    check_range("ffn (K of ffn_down)", c.ffn, kMostFeatures);
    check_range("layers", c.layers, kMostLayers);
    check_range("heads", c.heads, kMostFeatures);
    check_range("kv-heads", c.kv_heads, kMostFeatures);
    check_range("vocab", c.vocab, kMostTokens);
    check_range("context", c.context, kMostTokens);
    if (!(c.rope_base >= 1 && c.rope_base <= 1e12)) {
        throw Error(fmt::format("rope-base is {}, expected 1 to 1e12", c.rope_base));
    }
    if (c.hidden % c.heads != 0 && c.head_dim == c.hidden / c.heads) {
        throw Error(fmt::format("heads is {}, which does not divide hidden {}", c.heads, c.hidden));
    }
    if (c.heads % c.kv_heads != 0) {
        throw Error(
            fmt::format("kv-heads is {}, which does not divide heads {}", c.kv_heads, c.heads));
    }
    if (c.head_dim < 2 || c.head_dim % 2 != 0) {
        throw Error(fmt::format("the head size hidden / heads = {} is odd, but RoPE rotates pairs",
                                c.head_dim));
    }
}

}  // namespace tritbench
