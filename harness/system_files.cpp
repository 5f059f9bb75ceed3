#include "harness/system_files.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace tritbench {

namespace {

std::string_view trimmed(std::string_view text) {
    const char* blank = " \t\r\n";
    const size_t first = text.find_first_not_of(blank);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

}  // namespace

std::optional<std::string> SystemFiles::text(std::string_view relative) const {
    std::error_code problem;
    if (!std::filesystem::is_regular_file(path(relative), problem)) return std::nullopt;
    std::ifstream file(path(relative), std::ios::binary);
    if (!file) return std::nullopt;
    std::string all{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (file.bad()) return std::nullopt;
    while (!all.empty() && (all.back() == '\n' || all.back() == ' ' || all.back() == '\0'))
        all.pop_back();
    return all;
}

std::optional<std::string> SystemFiles::word(std::string_view relative) const {
    auto value = text(relative);
    if (value && trimmed(*value).empty()) return std::nullopt;
    return value;
}

std::optional<int64_t> SystemFiles::integer(std::string_view relative) const {
    const auto value = text(relative);
    return value ? leading_integer(*value) : std::nullopt;
}

bool SystemFiles::exists(std::string_view relative) const {
    std::error_code problem;
    return std::filesystem::exists(path(relative), problem);
}

std::vector<std::string> SystemFiles::names(std::string_view relative) const {
    std::vector<std::string> result;
    std::error_code problem;
    std::filesystem::directory_iterator entry(path(relative), problem), end;
    for (; !problem && entry != end; entry.increment(problem))
        result.push_back(entry->path().filename().string());
    std::sort(result.begin(), result.end());
    return result;
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> result;
    while (!text.empty()) {
        const size_t end = text.find('\n');
        result.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
    }
    return result;
}

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> result;
    size_t at = 0;
    while ((at = text.find_first_not_of(" \t\n", at)) != std::string_view::npos) {
        const size_t end = std::min(text.find_first_of(" \t\n", at), text.size());
        result.emplace_back(text.substr(at, end - at));
        at = end;
    }
    return result;
}

std::optional<int64_t> leading_integer(std::string_view text) {
    text = trimmed(text);
    int base = 10;
    if (text.starts_with("0x")) {
        text.remove_prefix(2);
        base = 16;
    }
    int64_t value = 0;
    const auto [end, problem] =
        std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (problem != std::errc() || end == text.data()) return std::nullopt;
    return value;
}

std::optional<double> leading_number(std::string_view text) {
    text = trimmed(text);
    double value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc() || end == text.data()) return std::nullopt;
    return value;
}

std::optional<uint64_t> size_with_suffix(std::string_view text) {
    text = trimmed(text);
    const auto number = leading_integer(text);
    if (!number || *number < 0) return std::nullopt;
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const std::string_view suffix = trimmed(text.substr(digits));
    int shift = 0;
    if (suffix.starts_with('K') || suffix.starts_with('k')) shift = 10;
    if (suffix.starts_with('M')) shift = 20;
    if (suffix.starts_with('G')) shift = 30;
    return static_cast<uint64_t>(*number) << shift;
}

std::optional<std::vector<int>> cpu_list(std::string_view text) {
    constexpr int64_t kMostCpus = 1 << 16;
    std::vector<int> result;
    text = trimmed(text);
    while (!text.empty()) {
        const size_t comma = std::min(text.find(','), text.size());
        const std::string_view part = text.substr(0, comma);
        const size_t dash = part.find('-');
        const auto first = leading_integer(part.substr(0, dash));
        const auto last =
            dash == std::string_view::npos ? first : leading_integer(part.substr(dash + 1));
        if (!first || !last || *first < 0 || *last < *first || *last >= kMostCpus)
            return std::nullopt;
        for (int64_t cpu = *first; cpu <= *last; ++cpu) result.push_back(static_cast<int>(cpu));
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return result;
}

std::string cpu_list_text(const std::vector<int>& cpus) {
    std::string text;
    for (size_t i = 0; i < cpus.size();) {
        size_t last = i;
        while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
        if (!text.empty()) text += ',';
        text += std::to_string(cpus[i]);
        if (last > i) text += '-' + std::to_string(cpus[last]);
        i = last + 1;
    }
    return text;
}

std::optional<std::string> field(std::string_view text, std::string_view name) {
    size_t at = 0;
    while (at < text.size()) {
        const size_t end = std::min(text.find('\n', at), text.size());
        const std::string_view line = text.substr(at, end - at);
        const size_t colon = line.find(':');
        if (colon != std::string_view::npos && trimmed(line.substr(0, colon)) == name) {
            const std::string_view value = trimmed(line.substr(colon + 1));
            return value.empty() ? std::nullopt : std::optional<std::string>(value);
        }
        at = end + 1;
    }
    return std::nullopt;
}

}  // namespace tritbench
