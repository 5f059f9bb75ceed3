// Typed look-ups of GGUF keys.
#include <fmt/format.h>

#include <cmath>

#include "kernels/api/error.h"
#include "model/gguf.h"
#include "model/printable.h"

namespace tritbench {
namespace {

std::string show(const GgufFile& file) {
    return printable(file.path().string(), 300);
}

const GgufValue& require(const GgufFile& file, std::string_view key, std::string_view kind) {
    const GgufValue* value = file.find(key);
    if (!value)
        throw Error(fmt::format("{}: key '{}' is missing, expected {}", show(file), key, kind));
    return *value;
}

[[noreturn]] void wrong_kind(const GgufFile& file, std::string_view key, std::string_view kind) {
    throw Error(fmt::format("{}: key '{}' is not {}", show(file), key, kind));
}

}  // namespace

int64_t GgufFile::integer(std::string_view key) const {
    const GgufValue& value = require(*this, key, "an integer");
    constexpr int64_t end = int64_t{1} << 31;
    if (const auto* found = std::get_if<uint64_t>(&value)) {
        if (*found < static_cast<uint64_t>(end)) return static_cast<int64_t>(*found);
        throw Error(
            fmt::format("{}: key '{}' is {}, expected 0 to 2^31 - 1", show(*this), key, *found));
    }
    if (const auto* found = std::get_if<int64_t>(&value)) {
        if (*found >= 0 && *found < end) return *found;
        throw Error(
            fmt::format("{}: key '{}' is {}, expected 0 to 2^31 - 1", show(*this), key, *found));
    }
    wrong_kind(*this, key, "an integer");
}

int64_t GgufFile::integer(std::string_view key, int64_t fallback) const {
    return find(key) ? integer(key) : fallback;
}

double GgufFile::number(std::string_view key) const {
    const GgufValue& value = require(*this, key, "a number");
    if (const auto* found = std::get_if<double>(&value)) {
        if (std::isfinite(*found)) return *found;
        throw Error(
            fmt::format("{}: key '{}' is {}, expected a finite number", show(*this), key, *found));
    }
    if (const auto* found = std::get_if<uint64_t>(&value)) return static_cast<double>(*found);
    if (const auto* found = std::get_if<int64_t>(&value)) return static_cast<double>(*found);
    wrong_kind(*this, key, "a number");
}

double GgufFile::number(std::string_view key, double fallback) const {
    return find(key) ? number(key) : fallback;
}

std::string GgufFile::text(std::string_view key) const {
    const GgufValue& value = require(*this, key, "a text");
    if (const auto* found = std::get_if<std::string>(&value)) return *found;
    wrong_kind(*this, key, "a text");
}

std::string GgufFile::text(std::string_view key, std::string_view fallback) const {
    return find(key) ? text(key) : std::string(fallback);
}

bool GgufFile::boolean(std::string_view key, bool fallback) const {
    const GgufValue* value = find(key);
    if (!value) return fallback;
    if (const auto* found = std::get_if<bool>(value)) return *found;
    wrong_kind(*this, key, "a boolean");
}

}  // namespace tritbench
