// Counts, ranges and shapes of the command line and the specs, as lists.
#include <fmt/format.h>

#include <algorithm>

#include "dummy_models/presets.h"
#include "harness/axes.h"
#include "kernels/api/error.h"
#include "model/linear_shapes.h"
#include "model/printable.h"
#include "model/thread_pool.h"

namespace tritbench {
namespace {

// An axis with more values than this was not meant.
constexpr size_t kLongestRange = 4096;
constexpr int64_t kMostThreads = 1024;

// "FIRST..LAST*BY" in its parts; `last` empty: one number, which is `first`.
struct RangeText {
    std::string_view first, last, by;
    char step = '+';

    explicit RangeText(std::string_view text) : first(text) {
        const size_t dots = text.find("..");
        if (dots == std::string_view::npos) return;
        first = text.substr(0, dots);
        last = text.substr(dots + 2);
        const size_t sign = last.find_first_of("*+");
        if (sign == std::string_view::npos) return;
        step = last[sign];
        by = last.substr(sign + 1);
        last = last.substr(0, sign);
    }
    bool is_range() const { return last.data() != nullptr; }
    bool has_step() const { return by.data() != nullptr; }
};

// From `first` to `last`, which is always the end, whether a step falls on it or not.
std::vector<int64_t> expanded(int64_t first, int64_t last, char step, int64_t by,
                              const std::string& complaint) {
    if (first > last) throw Error(fmt::format("{} is an empty range", complaint));
    const bool times = step == '*' && by > 1;
    if (times && first == 0) {
        throw Error(fmt::format("{}: 0 times {} is 0 for ever; begin at 1", complaint, by));
    }
    std::vector<int64_t> values;
    for (int64_t v = first; v < last; v = times ? v * by : v + by) {
        if (values.size() == kLongestRange) {
            throw Error(
                fmt::format("{} has more than {} values; give a step, as in 1..64*2 or 8..64+8",
                            complaint, kLongestRange));
        }
        values.push_back(v);
    }
    values.push_back(last);
    return values;
}

std::vector<tb_shape> distinct(std::vector<tb_shape> shapes) {
    std::vector<tb_shape> kept;
    for (const tb_shape shape : shapes) {
        const bool known = std::any_of(kept.begin(), kept.end(), [&](const tb_shape& other) {
            return other.n == shape.n && other.k == shape.k;
        });
        if (!known) kept.push_back(shape);
    }
    return kept;
}

const Preset& model_of_shape(std::string_view name, std::string_view text,
                             const std::string& where) {
    try {
        return find_preset(name);
    } catch (const Error&) {
        std::vector<std::string> names;
        for (const Preset& preset : presets()) {
            names.push_back(preset.name);
            if (!preset.alias.empty()) names.push_back(preset.alias);
        }
        throw Error(
            fmt::format("{}: shape '{}' is not NxK, nor the name of a model; expected e.g. "
                        "2560x6912, 2B-4T or 2B-4T:ffn_down{}",
                        where, printable(std::string(text), 60), did_you_mean(name, names)));
    }
}

}  // namespace

std::vector<int64_t> parse_counts(std::string_view text, int64_t least, const std::string& where) {
    const RangeText range(text);
    if (!range.is_range()) return {parse_count(text, least, where)};
    const int64_t by = range.has_step() ? parse_count(range.by, 1, where) : 1;
    return expanded(parse_count(range.first, least, where), parse_count(range.last, least, where),
                    range.step, by, fmt::format("{}: '{}'", where, text));
}

std::vector<int> parse_threads(std::string_view text, const std::string& where) {
    const auto cpus = static_cast<int64_t>(allowed_cpus().size());
    const auto bound = [&](std::string_view part) {
        if (part == "n") return cpus;
        try {
            const int64_t value = parse_count(part, 1, where);
            if (value <= kMostThreads) return value;
        } catch (const Error&) {  // said below, with what is allowed
        }
        throw Error(
            fmt::format("{}: threads '{}' is not allowed; expected a count from 1 to {}, n, 1..n, "
                        "1..n*2 or 2..n+2",
                        where, text, kMostThreads));
    };
    const RangeText range(text);
    if (!range.is_range()) return {static_cast<int>(bound(text))};
    const int64_t by = range.has_step() ? bound(range.by) : 1;
    const auto counts =
        expanded(bound(range.first), bound(range.last), range.step, by,
                 fmt::format("{}: threads '{}' ({} CPUs allowed)", where, text, cpus));
    return {counts.begin(), counts.end()};
}

std::vector<tb_shape> parse_shapes(std::string_view text, const std::string& where) {
    // Digits and an x alone are a shape; whatever is wrong with it is said of a shape.
    const bool numbers = text.find_first_not_of("0123456789x") == std::string_view::npos;
    if (numbers && text.find('x') != std::string_view::npos) return {parse_shape(text, where)};
    const size_t colon = text.find(':');
    const Preset& preset = model_of_shape(text.substr(0, colon), text, where);
    const auto layers = linear_shapes(preset.config);
    std::vector<tb_shape> shapes;
    std::vector<std::string> roles;
    for (const LinearShape& layer : layers) {
        roles.emplace_back(layer.role);
        if (colon == std::string_view::npos || text.substr(colon + 1) == layer.role) {
            shapes.push_back(layer.shape());
        }
    }
    if (shapes.empty()) {
        const std::string_view role = text.substr(colon + 1);
        throw Error(fmt::format("{}: shape '{}' names no linear layer; expected one of {}{}", where,
                                printable(std::string(text), 60), fmt::join(roles, ", "),
                                did_you_mean(role, roles)));
    }
    return distinct(std::move(shapes));
}

}  // namespace tritbench
