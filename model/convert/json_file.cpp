#include "model/convert/json_file.h"

#include <fmt/format.h>

#include <cmath>
#include <unordered_set>
#include <utility>
#include <vector>

#include "kernels/api/error.h"
#include "model/file_mapping.h"
#include "model/printable.h"

namespace tritbench {
namespace {

using nlohmann::json;

const json kEmptyObject = json::object();

// Watches the parser: nesting, number of values, and keys that appear twice, of which nlohmann
// would keep the last without a word.
class Watcher {
  public:
    Watcher(std::string file, const JsonLimits& limits) : file_(std::move(file)), limits_(limits) {}

    bool operator()(int depth, json::parse_event_t event, json& parsed) {
        using Event = json::parse_event_t;
        if (event == Event::object_end || event == Event::array_end) {
            if (event == Event::object_end) keys_.pop_back();
            return true;
        }
        if (++values_ > limits_.values) {
            fail(fmt::format("holds more than {} values", limits_.values));
        }
        if (depth > limits_.depth) fail(fmt::format("is nested deeper than {}", limits_.depth));
        if (event == Event::object_start) keys_.emplace_back();
        if (event == Event::key) {
            const auto& key = parsed.get_ref<const std::string&>();
            if (!keys_.back().insert(key).second) {
                fail(fmt::format("has the key '{}' twice in one object", printable(key)));
            }
        }
        return true;
    }

  private:
    [[noreturn]] void fail(const std::string& problem) const {
        throw Error(fmt::format("{}: {}", file_, problem));
    }

    std::string file_;
    JsonLimits limits_;
    uint64_t values_ = 0;
    std::vector<std::unordered_set<std::string>> keys_;  // of the objects being read
};

}  // namespace

std::string parse_problem(const json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, ..."
    std::string_view text = error.what();
    const size_t bracket = text.find("] ");
    if (bracket != std::string_view::npos) text.remove_prefix(bracket + 2);
    std::string ascii;  // it quotes bytes that may be of no encoding
    for (const char c : text.substr(0, 200)) {
        if (static_cast<unsigned char>(c) < 0x80) {
            ascii += c;
        } else {
            ascii += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        }
    }
    return printable(ascii, 300);
}

json read_json(const std::filesystem::path& path, const JsonLimits& limits) {
    const std::string shown = printable(path.string(), 300);
    const FileMapping file(path.string(), "a JSON file");
    if (file.size() > limits.bytes) {
        throw Error(fmt::format("{}: is {} bytes long, expected at most {}", shown, file.size(),
                                limits.bytes));
    }
    const auto* text = reinterpret_cast<const char*>(file.data());
    Watcher watcher(shown, limits);
    try {
        return json::parse(text, text + file.size(), std::ref(watcher));
    } catch (const json::exception& e) {
        throw Error(fmt::format("{}: is not JSON: {}", shown, parse_problem(e)));
    }
}

JsonObject::JsonObject(std::string shown_file, const json& object)
    : file_(std::move(shown_file)), object_(&object) {
    if (!object.is_object()) {
        throw Error(fmt::format("{}: is a JSON {}, expected an object", file_, object.type_name()));
    }
}

void JsonObject::fail(std::string_view field, std::string_view expected) const {
    const json* found = find(field);
    const std::string shown =
        found ? printable(found->dump(-1, ' ', false, json::error_handler_t::replace), 60)
              : "missing";
    throw Error(fmt::format("{}: field '{}{}' is {}, expected {}", file_, prefix_, printable(field),
                            shown, expected));
}

const json* JsonObject::find(std::string_view field) const {
    const auto found = object_->find(field);
    return found == object_->end() || found->is_null() ? nullptr : &*found;
}

int64_t JsonObject::integer(std::string_view field) const {
    constexpr int64_t largest = (int64_t{1} << 31) - 1;
    const json* found = find(field);
    // Unsigned covers every non-negative number as the parser stores it.
    if (!found || !found->is_number_unsigned() || found->get<uint64_t>() < 1 ||
        found->get<uint64_t>() > static_cast<uint64_t>(largest)) {
        fail(field, "a whole number from 1 to 2^31 - 1");
    }
    return found->get<int64_t>();
}

int64_t JsonObject::integer(std::string_view field, int64_t fallback) const {
    return find(field) ? integer(field) : fallback;
}

double JsonObject::number(std::string_view field, double fallback) const {
    const json* found = find(field);
    if (!found) return fallback;
    if (!found->is_number() || !std::isfinite(found->get<double>())) fail(field, "a number");
    return found->get<double>();
}

std::string JsonObject::text(std::string_view field, std::string_view fallback) const {
    const json* found = find(field);
    if (!found) return std::string(fallback);
    if (!found->is_string()) fail(field, "a text");
    return found->get<std::string>();
}

bool JsonObject::boolean(std::string_view field, bool fallback) const {
    const json* found = find(field);
    if (!found) return fallback;
    if (!found->is_boolean()) fail(field, "true or false");
    return found->get<bool>();
}

JsonObject JsonObject::object(std::string_view field) const {
    const json* found = find(field);
    if (found && !found->is_object()) fail(field, "an object");
    JsonObject inner(file_, found ? *found : kEmptyObject);
    inner.prefix_ = fmt::format("{}{}.", prefix_, printable(field));
    return inner;
}

OptionalJson::OptionalJson(const std::filesystem::path& path)
    : document_(std::filesystem::exists(path) ? read_json(path) : json::object()),
      object_(printable(path.string(), 300), document_) {}

}  // namespace tritbench
