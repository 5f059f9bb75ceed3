#include "model/convert/safetensors_header.h"

#include <fmt/format.h>

#include <unordered_set>
#include <utility>

#include "kernels/api/error.h"
#include "model/convert/json_file.h"
#include "model/printable.h"

namespace tritbench {
namespace {

using nlohmann::json;

constexpr size_t kMostExtents = 64;  // far more than any tensor has

// Receives the header event by event.
class HeaderReader : public nlohmann::json_sax<json> {
  public:
    explicit HeaderReader(const std::string& shown_file) : file_(shown_file) {}

    std::vector<SafetensorsEntry> take() { return std::move(entries_); }

    bool start_object(std::size_t) override {
        if (depth_ == 2) unexpected("an object");
        ++depth_;
        fields_ = 0;
        return true;
    }
    bool end_object() override {
        if (depth_ == 2 && !metadata_ && fields_ != kAllFields) {
            fail(fmt::format("tensor '{}' lacks {}, expected dtype, shape and data_offsets", name(),
                             !(fields_ & kDtype)   ? "dtype"
                             : !(fields_ & kShape) ? "shape"
                                                   : "data_offsets"));
        }
        --depth_;
        return true;
    }
    bool key(std::string& key) override {
        if (depth_ == 1) {
            metadata_ = key == "__metadata__";
            if (!names_.insert(key).second) {
                fail(fmt::format("the name '{}' appears twice", printable(key)));
            }
            if (!metadata_) entries_.emplace_back().name = key;
        } else if (!metadata_) {
            field_ = key == "dtype"          ? kDtype
                     : key == "shape"        ? kShape
                     : key == "data_offsets" ? kOffsets
                                             : 0U;
            if (field_ == 0 || (fields_ & field_) != 0) {
                fail(
                    fmt::format("tensor '{}' has the field '{}'{}, expected dtype, shape and "
                                "data_offsets, each once",
                                name(), printable(key), field_ == 0 ? "" : " twice"));
            }
            fields_ |= field_;
        }
        return true;
    }
    bool start_array(std::size_t) override {
        if (depth_ != 2 || metadata_ || field_ == kDtype || in_array_) unexpected("an array");
        in_array_ = true;
        count_ = 0;
        return true;
    }
    bool end_array() override {
        in_array_ = false;
        if (field_ == kOffsets && count_ != 2) {
            fail(fmt::format("tensor '{}' has {} data_offsets, expected 2", name(), count_));
        }
        return true;
    }
    bool number_unsigned(number_unsigned_t value) override {
        if (!in_array_) return scalar("a number");
        SafetensorsEntry& entry = entries_.back();
        if (field_ == kShape) {
            entry.shape.push_back(value);
        } else {
            (count_ == 0 ? entry.begin : entry.end) = value;
        }
        if (++count_ > kMostExtents) {
            fail(fmt::format("tensor '{}' has more than {} extents", name(), kMostExtents));
        }
        return true;
    }
    bool string(string_t& value) override {
        if (depth_ != 2 || in_array_ || (!metadata_ && field_ != kDtype)) unexpected("a text");
        if (!metadata_) entries_.back().dtype = value;
        return true;
    }
    bool null() override { return scalar("null"); }
    bool boolean(bool) override { return scalar("a boolean"); }
    bool number_integer(number_integer_t) override { return scalar("a negative number"); }
    bool number_float(number_float_t, const string_t&) override { return scalar("a fraction"); }
    bool binary(binary_t&) override { return scalar("binary data"); }
    bool parse_error(std::size_t, const std::string&, const json::exception& e) override {
        fail(fmt::format("the header is not JSON: {}", parse_problem(e)));
    }

  private:
    static constexpr unsigned kDtype = 1, kShape = 2, kOffsets = 4, kAllFields = 7;

    std::string name() const {
        return entries_.empty() ? "" : printable(entries_.back().name, 120);
    }
    [[noreturn]] void fail(const std::string& problem) const {
        throw Error(fmt::format("{}: {}", file_, problem));
    }
    [[noreturn]] void unexpected(std::string_view found) const {
        fail(
            fmt::format("the header has {} where none belongs{}; expected name: {{dtype, shape, "
                        "data_offsets}}",
                        found, entries_.empty() ? "" : fmt::format(" (tensor '{}')", name())));
    }
    // Only metadata may hold other values, which nobody reads.
    bool scalar(std::string_view found) const {
        if (depth_ != 2 || !metadata_) unexpected(found);
        return true;
    }

    std::string file_;
    std::vector<SafetensorsEntry> entries_;
    std::unordered_set<std::string> names_;
    int depth_ = 0;
    bool metadata_ = false, in_array_ = false;
    unsigned field_ = 0, fields_ = 0;
    size_t count_ = 0;
};

}  // namespace

std::vector<SafetensorsEntry> parse_safetensors_header(const std::string& shown_file,
                                                       std::string_view header) {
    HeaderReader reader(shown_file);
    json::sax_parse(header.begin(), header.end(), &reader);
    return reader.take();
}

}  // namespace tritbench
