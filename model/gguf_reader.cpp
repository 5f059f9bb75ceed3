#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <unordered_map>
#include <utility>

#include "kernels/api/error.h"
#include "model/file_mapping.h"
#include "model/gguf.h"
#include "model/gguf_format.h"
#include "model/printable.h"

namespace tritbench {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF data is used as mapped");

constexpr uint64_t kMaxNameBytes = 65535;  // the format's limit for keys

template <class T>
T load(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof(T));
    return value;
}

// Reads the header front to back; every step is checked against the end of the file.
class Cursor {
  public:
    Cursor(std::string file, const std::byte* data, uint64_t size)
        : file_(std::move(file)), data_(data), size_(size) {}

    uint64_t position() const { return position_; }
    uint64_t remaining() const { return size_ - position_; }

    const std::byte* take(uint64_t bytes, std::string_view field) {
        if (bytes > remaining()) {
            fail(
                fmt::format("{} needs {} bytes at offset {}, but the file ends at {}: truncated or "
                            "corrupt",
                            field, bytes, position_, size_));
        }
        const std::byte* at = data_ + position_;
        position_ += bytes;
        return at;
    }

    template <class T>
    T value(std::string_view field) {
        return load<T>(take(sizeof(T), field));
    }

    // A count of things of which each takes at least `smallest` bytes, so that a count that could
    // not fit is refused before anything is allocated for it.
    uint64_t count(std::string_view field, uint64_t smallest) {
        const auto found = value<uint64_t>(field);
        if (found > remaining() / smallest) {
            fail(fmt::format("{} is {}, but the remaining {} bytes hold at most {}", field, found,
                             remaining(), remaining() / smallest));
        }
        return found;
    }

    std::string_view text(std::string_view field) {
        const auto length = value<uint64_t>(field);
        return {reinterpret_cast<const char*>(take(length, field)), length};
    }

    [[noreturn]] void fail(std::string_view problem) const {
        throw Error(fmt::format("{}: {}", file_, problem));
    }

  private:
    std::string file_;  // as shown in messages
    const std::byte* data_;
    uint64_t size_;
    uint64_t position_ = 0;
};

bool read_bool(Cursor& cursor, std::string_view field) {
    const auto found = cursor.value<uint8_t>(field);
    if (found > 1)
        cursor.fail(fmt::format("{} is a boolean of value {}, expected 0 or 1", field, found));
    return found == 1;
}

GgufScalar read_scalar(Cursor& cursor, uint32_t type, std::string_view field) {
    switch (static_cast<GgufValueType>(type)) {
        case GgufValueType::U8:
            return uint64_t{cursor.value<uint8_t>(field)};
        case GgufValueType::I8:
            return int64_t{cursor.value<int8_t>(field)};
        case GgufValueType::U16:
            return uint64_t{cursor.value<uint16_t>(field)};
        case GgufValueType::I16:
            return int64_t{cursor.value<int16_t>(field)};
        case GgufValueType::U32:
            return uint64_t{cursor.value<uint32_t>(field)};
        case GgufValueType::I32:
            return int64_t{cursor.value<int32_t>(field)};
        case GgufValueType::F32:
            return double{cursor.value<float>(field)};
        case GgufValueType::Bool:
            return read_bool(cursor, field);
        case GgufValueType::Text:
            return std::string(cursor.text(field));
        case GgufValueType::U64:
            return cursor.value<uint64_t>(field);
        case GgufValueType::I64:
            return cursor.value<int64_t>(field);
        case GgufValueType::F64:
            return cursor.value<double>(field);
        case GgufValueType::Array:
            break;
    }
    cursor.fail(fmt::format("{} has the unknown value type {}", field, type));
}

// Steps over the elements, checking them as read_scalar would.
GgufArray read_array(Cursor& cursor, std::string_view field) {
    GgufArray array;
    array.element_type = cursor.value<uint32_t>(field);
    const auto type = static_cast<GgufValueType>(array.element_type);
    if (type == GgufValueType::Array) {
        cursor.fail(
            fmt::format("{} is an array of arrays, expected an array of plain values", field));
    }
    const uint64_t smallest = gguf_value_bytes(type);
    if (smallest == 0) {
        cursor.fail(
            fmt::format("{} is an array of the unknown type {}", field, array.element_type));
    }
    array.count = cursor.count(fmt::format("element count of {}", field), smallest);
    const uint64_t begin = cursor.position();
    const std::byte* first = cursor.take(0, field);
    if (type == GgufValueType::Text) {
        for (uint64_t i = 0; i < array.count; ++i) cursor.text(field);
    } else if (type == GgufValueType::Bool) {
        for (uint64_t i = 0; i < array.count; ++i) read_bool(cursor, field);
    } else {
        cursor.take(array.count * smallest, field);  // count() has bounded the product
    }
    array.bytes = {first, cursor.position() - begin};
    return array;
}

GgufValue read_value(Cursor& cursor, std::string_view key) {
    const auto type = cursor.value<uint32_t>("type of the next key");
    const std::string field = fmt::format("key '{}'", printable(key));
    if (static_cast<GgufValueType>(type) == GgufValueType::Array) return read_array(cursor, field);
    return std::visit([](auto&& scalar) { return GgufValue(std::move(scalar)); },
                      read_scalar(cursor, type, field));
}

}  // namespace

std::vector<GgufScalar> GgufArray::values(uint64_t at_most) const {
    const uint64_t wanted = std::min(count, at_most);
    std::vector<GgufScalar> out;
    out.reserve(wanted);
    Cursor cursor("array", bytes.data(), bytes.size());
    for (uint64_t i = 0; i < wanted; ++i)
        out.push_back(read_scalar(cursor, element_type, "element"));
    return out;
}

struct GgufFile::Impl {
    explicit Impl(const std::filesystem::path& file)
        : path(file),
          shown(printable(file.string(), 300)),
          mapping(file.string()),
          cursor(shown, mapping.data(), mapping.size()) {
        read_header();
        read_metadata();
        read_tensor_table();
        place_tensors();
    }

    void read_header();
    void read_metadata();
    void read_tensor_table();
    GgufTensor read_tensor(uint64_t index);
    void place_tensors();
    uint64_t alignment() const;

    [[noreturn]] void fail(std::string_view problem) const { cursor.fail(problem); }

    std::filesystem::path path;
    std::string shown;
    FileMapping mapping;
    Cursor cursor;
    uint32_t version = 0;
    uint64_t tensor_count = 0;
    uint64_t key_count = 0;
    std::vector<std::pair<std::string, GgufValue>> metadata;
    std::vector<std::span<const std::byte>> stored_values;  // one for each of metadata
    std::vector<GgufTensor> tensors;
    std::unordered_map<std::string_view, size_t> key_index;     // views into the mapping
    std::unordered_map<std::string_view, size_t> tensor_index;  // views into the mapping
};

void GgufFile::Impl::read_header() {
    const std::byte* magic = cursor.take(4, "the magic");
    if (std::memcmp(magic, "GGUF", 4) != 0) {
        const std::string found(reinterpret_cast<const char*>(magic), 4);
        fail(fmt::format("starts with '{}', expected 'GGUF': not a GGUF file", printable(found)));
    }
    version = cursor.value<uint32_t>("the version");
    if (version != 0 && (version & 0xFFFFU) == 0) {
        fail("is a big-endian GGUF file; only little-endian files can be read");
    }
    if (version != 2 && version != 3) {
        fail(fmt::format("has GGUF version {}, expected 2 or 3", version));
    }
    const auto tensors_found = cursor.value<uint64_t>("the tensor count");
    key_count = cursor.count("the key count", kGgufSmallestKey);
    if (tensors_found > cursor.remaining() / kGgufSmallestTensor) {
        fail(fmt::format("the tensor count is {}, but the remaining {} bytes hold at most {}",
                         tensors_found, cursor.remaining(),
                         cursor.remaining() / kGgufSmallestTensor));
    }
    tensor_count = tensors_found;
}

void GgufFile::Impl::read_metadata() {
    for (uint64_t i = 0; i < key_count; ++i) {
        const std::string_view key = cursor.text(fmt::format("key {} of {}", i + 1, key_count));
        if (key.empty() || key.size() > kMaxNameBytes) {
            fail(fmt::format("the name of key {} has {} bytes, expected 1..{}", i + 1, key.size(),
                             kMaxNameBytes));
        }
        if (!key_index.emplace(key, metadata.size()).second) {
            fail(fmt::format("key '{}' appears twice", printable(key)));
        }
        const uint64_t begin = cursor.position();
        metadata.emplace_back(std::string(key), read_value(cursor, key));
        stored_values.emplace_back(mapping.data() + begin, cursor.position() - begin);
    }
}

GgufTensor GgufFile::Impl::read_tensor(uint64_t index) {
    const std::string which = fmt::format("tensor {} of {}", index + 1, tensor_count);
    const std::string_view name = cursor.text("the name of " + which);
    if (name.empty() || name.size() > kMaxNameBytes) {
        fail(fmt::format("the name of {} has {} bytes, expected 1..{}", which, name.size(),
                         kMaxNameBytes));
    }
    const std::string field = fmt::format("tensor '{}'", printable(name));
    if (!tensor_index.emplace(name, tensors.size()).second) {
        fail(fmt::format("{} appears twice", field));
    }
    GgufTensor tensor;
    tensor.name = name;
    const auto dimensions = cursor.value<uint32_t>(field);
    if (dimensions < 1 || dimensions > kGgufMaxDimensions) {
        fail(fmt::format("{} has {} dimensions, expected 1..{}", field, dimensions,
                         kGgufMaxDimensions));
    }
    uint64_t elements = 1;
    for (uint32_t d = 0; d < dimensions; ++d) {
        constexpr auto limit = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
        const auto extent = cursor.value<uint64_t>(field);
        if (extent == 0) fail(fmt::format("{}: dimension {} is 0, expected at least 1", field, d));
        if (extent > limit / elements) {
            fail(fmt::format("{}: the product of its dimensions overflows at dimension {} ({})",
                             field, d, extent));
        }
        elements *= extent;
        tensor.ne.push_back(static_cast<int64_t>(extent));
    }
    tensor.type = static_cast<GgmlType>(cursor.value<uint32_t>(field));
    tensor.file_offset = cursor.value<uint64_t>(field);  // relative, until place_tensors()
    return tensor;
}

void GgufFile::Impl::read_tensor_table() {
    for (uint64_t i = 0; i < tensor_count; ++i) tensors.push_back(read_tensor(i));
}

uint64_t GgufFile::Impl::alignment() const {
    const auto found = key_index.find("general.alignment");
    if (found == key_index.end()) return kGgufDefaultAlignment;
    const auto* value = std::get_if<uint64_t>(&metadata[found->second].second);
    if (!value) fail("key 'general.alignment' is not an unsigned integer");
    if (!std::has_single_bit(*value) || *value < 8 || *value > (1U << 30U)) {
        fail(fmt::format("key 'general.alignment' is {}, expected a power of two from 8 to 2^30",
                         *value));
    }
    return *value;
}

void GgufFile::Impl::place_tensors() {
    if (tensors.empty()) return;
    const uint64_t align = alignment();
    const uint64_t data_begin = gguf_align(cursor.position(), align);  // both are far below 2^63
    const uint64_t size = mapping.size();
    for (GgufTensor& tensor : tensors) {
        const std::string name = printable(tensor.name);
        if (tensor.file_offset % align != 0) {
            fail(fmt::format("tensor '{}' is at offset {}, expected a multiple of {}", name,
                             tensor.file_offset, align));
        }
        const auto bytes = ggml_tensor_bytes(tensor.type, tensor.ne);
        const uint64_t needed = bytes.value_or(0);
        if (data_begin > size || tensor.file_offset > size - data_begin ||
            needed > size - data_begin - tensor.file_offset) {
            fail(
                fmt::format("tensor '{}' ({} bytes at offset {} of the data section, which begins "
                            "at {}) lies past the end of the file ({} bytes): truncated or corrupt",
                            name, needed, tensor.file_offset, data_begin, size));
        }
        tensor.file_offset += data_begin;
        tensor.bytes = needed;
        if (bytes) tensor.data = mapping.data() + tensor.file_offset;
    }
}

GgufFile::GgufFile(const std::filesystem::path& path) : impl_(std::make_unique<Impl>(path)) {}
GgufFile::~GgufFile() = default;
GgufFile::GgufFile(GgufFile&&) noexcept = default;
GgufFile& GgufFile::operator=(GgufFile&&) noexcept = default;

const std::filesystem::path& GgufFile::path() const {
    return impl_->path;
}
uint64_t GgufFile::file_bytes() const {
    return impl_->mapping.size();
}
uint32_t GgufFile::version() const {
    return impl_->version;
}
const std::vector<std::pair<std::string, GgufValue>>& GgufFile::metadata() const {
    return impl_->metadata;
}
const std::vector<GgufTensor>& GgufFile::tensors() const {
    return impl_->tensors;
}

const GgufValue* GgufFile::find(std::string_view key) const {
    const auto found = impl_->key_index.find(key);
    return found == impl_->key_index.end() ? nullptr : &impl_->metadata[found->second].second;
}

std::span<const std::byte> GgufFile::stored_value(std::string_view key) const {
    const auto found = impl_->key_index.find(key);
    if (found == impl_->key_index.end()) return {};
    return impl_->stored_values[found->second];
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
    const auto found = impl_->tensor_index.find(name);
    return found == impl_->tensor_index.end() ? nullptr : &impl_->tensors[found->second];
}

}  // namespace tritbench
