// JSON files from outside, read with limits.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tritbench {

struct JsonLimits {
    uint64_t bytes = uint64_t{64} << 20;  // of the file
    uint64_t values = uint64_t{4} << 20;  // that the file may hold: each costs memory
    int depth = 32;                       // of nesting
};

// The whole file. Throws Error, one line that names the file, on anything that cannot be read, is
// no JSON, has a key twice, or exceeds a limit.
nlohmann::json read_json(const std::filesystem::path& path, const JsonLimits& limits = {});

// What nlohmann says of a parse error, in one line.
std::string parse_problem(const nlohmann::json::exception& error);

// A member of an object as a wanted type; each throws Error ("file: field 'x' is ..., expected
// ...") on a wrong kind. A null counts as absent.
class JsonObject {
  public:
    JsonObject(std::string shown_file, const nlohmann::json& object);

    const nlohmann::json* find(std::string_view field) const;  // null when absent or null
    int64_t integer(std::string_view field) const;             // 1 to 2^31 - 1
    int64_t integer(std::string_view field, int64_t fallback) const;
    double number(std::string_view field, double fallback) const;  // finite
    std::string text(std::string_view field, std::string_view fallback) const;
    bool boolean(std::string_view field, bool fallback) const;
    // A member that is an object; empty when absent.
    JsonObject object(std::string_view field) const;
    // All members, for a loop: [name, value].
    auto items() const { return object_->items(); }

    [[noreturn]] void fail(std::string_view field, std::string_view expected) const;
    const std::string& file() const { return file_; }

  private:
    std::string file_, prefix_;
    const nlohmann::json* object_;
};

// A file that may be absent: then an empty object.
class OptionalJson {
  public:
    explicit OptionalJson(const std::filesystem::path& path);
    OptionalJson(const OptionalJson&) = delete;
    OptionalJson& operator=(const OptionalJson&) = delete;
    const JsonObject* operator->() const { return &object_; }
    const JsonObject& operator*() const { return object_; }

  private:
    nlohmann::json document_;
    JsonObject object_;
};

}  // namespace tritbench
