// The small languages of the command line and the specs: numbers, shapes, lists, times.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "harness/axes.h"
#include "kernels/api/edit_distance.h"
#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench {
namespace {

constexpr int64_t kLargestCount = (int64_t{1} << 31) - 1;

std::optional<int64_t> number(std::string_view text) {
    int64_t value = 0;
    const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || problem != std::errc() || stop != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

}  // namespace

int64_t parse_count(std::string_view text, int64_t least, const std::string& where) {
    const auto value = number(text);
    if (!value) throw Error(fmt::format("{}: '{}' is not a whole number", where, text));
    if (*value < least || *value > kLargestCount) {
        throw Error(fmt::format("{}: {} is not allowed; expected {} to {}", where, text, least,
                                kLargestCount));
    }
    return *value;
}

double parse_share(std::string_view text, const std::string& where) {
    double value = 0;
    const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || problem != std::errc() || stop != text.data() + text.size() ||
        !(value >= 0 && value <= 1)) {
        throw Error(fmt::format("{}: '{}' is not a share; expected 0 to 1", where, text));
    }
    return value;
}

tb_shape parse_shape(std::string_view text, const std::string& where) {
    const size_t x = text.find('x');
    const auto n = number(text.substr(0, x));
    const auto k = x == std::string_view::npos ? std::nullopt : number(text.substr(x + 1));
    if (!n || !k) {
        throw Error(fmt::format("{}: shape '{}' is not NxK; expected e.g. 2560x6912", where, text));
    }
    for (const auto& [name, value] : {std::pair{"N", *n}, std::pair{"K", *k}}) {
        if (value < 1 || value > kLargestCount) {
            throw Error(fmt::format("{}: shape '{}' has {} = {}; expected 1 to {}", where, text,
                                    name, value, kLargestCount));
        }
    }
    return {*n, *k};
}

CacheMode parse_cache(std::string_view text, const std::string& where) {
    if (text == "hot") return CacheMode::Hot;
    if (text == "cold") return CacheMode::Cold;
    throw Error(fmt::format("{}: '{}' is not a cache mode; expected hot or cold", where, text));
}

PromptAndTokens parse_pair(std::string_view text, const std::string& where) {
    const std::vector<std::string> parts = split_list(text);
    if (parts.size() != 2) {
        throw Error(fmt::format(
            "{}: '{}' is not a prompt and tokens after it; expected e.g. 128,32", where, text));
    }
    return {parse_count(parts[0], 1, where), parse_count(parts[1], 1, where)};
}

std::vector<std::string> split_list(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (true) {
        const size_t end = text.find(separator);
        parts.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
    const auto nearest = std::min_element(
        candidates.begin(), candidates.end(), [&](const std::string& a, const std::string& b) {
            return edit_distance(word, a) < edit_distance(word, b);
        });
    // A word that shares less than half of its letters was not meant.
    if (nearest == candidates.end() || edit_distance(word, *nearest) * 2 > word.size()) return "";
    return fmt::format("; did you mean '{}'?", *nearest);
}

double parse_duration(const std::string& text, const std::string& where) {
    size_t used = 0;
    double value = 0;
    try {
        value = std::stod(text, &used);
    } catch (const std::exception&) {
        used = 0;
    }
    const std::string unit = text.substr(used);
    const double scale = unit.empty() || unit == "s" ? 1
                         : unit == "m"               ? 60
                         : unit == "h"               ? 3600
                                                     : 0;
    if (used == 0 || scale == 0 || !(value > 0) || !(value * scale <= 1e6)) {
        throw Error(fmt::format("{} '{}': expected a time such as 90s, 2m or 1h", where,
                                printable(text, 40)));
    }
    return value * scale;
}

}  // namespace tritbench
