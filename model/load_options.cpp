#include "model/load_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench {
namespace {

constexpr std::array<std::pair<I2sLayout, std::string_view>, 3> kLayouts{
    {{I2sLayout::X86, "x86"}, {I2sLayout::Arm, "arm"}, {I2sLayout::Row4, "row4"}}};

constexpr std::array<std::string_view, 7> kHeads{"f32",  "f16",  "bf16",  "q8_0",
                                                 "q6_k", "q4_0", "q8_row"};

constexpr size_t kMostSections = 4096;

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blank = " \t\r";
    const size_t begin = text.find_first_not_of(blank);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

std::optional<int32_t> positive(std::string_view text) {
    int32_t value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc() || end != text.data() + text.size() || value < 1) return {};
    return value;
}

// One key of a section; false for a key that is none of bitnet.cpp's.
bool set_key(TlTile& tile, std::string_view key, int32_t value) {
    if (key == "m")
        tile.n = value;
    else if (key == "k")
        tile.k = value;
    else if (key == "bm")
        tile.BM = value;
    else if (key == "bk")
        tile.BK = value;
    else if (key == "bmm")
        tile.bm = value;
    else
        return false;
    return true;
}

}  // namespace

I2sLayout parse_i2s_layout(std::string_view text) {
    for (const auto& [layout, name] : kLayouts) {
        if (text == name) return layout;
    }
    throw Error(fmt::format("I2_S layout '{}': expected x86, arm or row4", printable(text, 40)));
}

std::string_view i2s_layout_name(I2sLayout layout) {
    return kLayouts[static_cast<size_t>(layout)].second;
}

std::string parse_head(std::string_view text) {
    if (text.empty() || text == "stored") return "";
    if (std::find(kHeads.begin(), kHeads.end(), text) != kHeads.end()) return std::string(text);
    throw Error(fmt::format("LM head '{}': expected stored, {}", printable(text, 40),
                            fmt::join(kHeads, ", ")));
}

std::vector<TlTile> read_kernel_config(const std::filesystem::path& path) {
    const std::string shown = printable(path.string(), 300);
    std::ifstream file(path);
    if (!std::filesystem::is_regular_file(path) || !file) {
        throw Error(
            fmt::format("{}: cannot be read; expected bitnet.cpp's kernel_config.ini", shown));
    }
    std::vector<TlTile> tiles;
    std::string text;
    for (int number = 1; std::getline(file, text); ++number) {
        const std::string_view line = trimmed(text);
        if (line.empty() || line.front() == '#' || line.front() == ';') continue;
        if (line.front() == '[' && line.back() == ']' && tiles.size() < kMostSections) {
            tiles.emplace_back();
            continue;
        }
        const size_t equals = line.find('=');
        const auto value = equals == std::string_view::npos
                               ? std::nullopt
                               : positive(trimmed(line.substr(equals + 1)));
        if (tiles.empty() || !value ||
            !set_key(tiles.back(), trimmed(line.substr(0, equals)), *value)) {
            throw Error(
                fmt::format("{}: line {}: '{}'; expected [sections] of m, k, bm, bk, bmm = "
                            "a positive number",
                            shown, number, printable(line, 60)));
        }
    }
    for (const TlTile& t : tiles) {
        if (t.n > 0 && t.k > 0 && t.BM > 0 && t.BK > 0 && t.bm > 0) continue;
        throw Error(fmt::format("{}: section {}: expected all of m, k, bm, bk, bmm", shown,
                                &t - tiles.data() + 1));
    }
    return tiles;
}

}  // namespace tritbench
