#include "model/convert/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>

#include "kernels/api/error.h"
#include "model/convert/json_file.h"
#include "model/convert/safetensors_header.h"
#include "model/file_mapping.h"
#include "model/printable.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMostHeaderBytes = 100'000'000;  // the limit of the original reader
constexpr size_t kMostDimensions = 8;

struct Dtype {
    TensorDtype dtype;
    std::string_view name;
    uint64_t bytes;
};

constexpr std::array<Dtype, 10> kDtypes{{{TensorDtype::F64, "F64", 8},
                                         {TensorDtype::F32, "F32", 4},
                                         {TensorDtype::F16, "F16", 2},
                                         {TensorDtype::BF16, "BF16", 2},
                                         {TensorDtype::I64, "I64", 8},
                                         {TensorDtype::I32, "I32", 4},
                                         {TensorDtype::I16, "I16", 2},
                                         {TensorDtype::I8, "I8", 1},
                                         {TensorDtype::U8, "U8", 1},
                                         {TensorDtype::Bool, "BOOL", 1}}};

const Dtype* find_dtype(std::string_view name) {
    const auto* found = std::find_if(kDtypes.begin(), kDtypes.end(),
                                     [name](const Dtype& d) { return d.name == name; });
    return found == kDtypes.end() ? nullptr : found;
}

}  // namespace

std::string_view dtype_name(TensorDtype dtype) {
    return kDtypes[static_cast<size_t>(dtype)].name;
}

int64_t SafetensorsTensor::elements() const {
    int64_t product = 1;
    for (const int64_t extent : shape) product *= extent;  // checked when the file was opened
    return product;
}

std::string describe(const SafetensorsTensor& tensor) {
    return fmt::format("{}: tensor '{}'", printable(tensor.file->string(), 300),
                       printable(tensor.name, 120));
}

struct SafetensorsFile::Impl {
    explicit Impl(fs::path file)
        : path(std::move(file)),
          shown(printable(path.string(), 300)),
          mapping(path.string(), "a safetensors file") {
        const std::string_view header = find_header();
        const std::byte* data = mapping.data() + kLengthBytes + header.size();
        const uint64_t size = mapping.size() - kLengthBytes - header.size();
        for (SafetensorsEntry& entry : parse_safetensors_header(shown, header)) {
            tensors.push_back(check(std::move(entry), data, size));
        }
        check_order(data, size);
    }

    [[noreturn]] void fail(std::string_view problem) const {
        throw Error(fmt::format("{}: {}", shown, problem));
    }
    std::string_view find_header() const;
    SafetensorsTensor check(SafetensorsEntry entry, const std::byte* data, uint64_t size) const;
    void check_order(const std::byte* data, uint64_t size);

    fs::path path;
    std::string shown;
    FileMapping mapping;
    std::vector<SafetensorsTensor> tensors;
};

std::string_view SafetensorsFile::Impl::find_header() const {
    if (mapping.size() < kLengthBytes + 2) {
        fail(fmt::format("is {} bytes long, expected a safetensors file", mapping.size()));
    }
    uint64_t length = 0;
    std::memcpy(&length, mapping.data(), sizeof length);
    if (length > kMostHeaderBytes || length > mapping.size() - kLengthBytes) {
        fail(
            fmt::format("its header is {} bytes long, but the file has {} and a header at most {}: "
                        "truncated, or no safetensors file",
                        length, mapping.size(), kMostHeaderBytes));
    }
    return {reinterpret_cast<const char*>(mapping.data() + kLengthBytes), length};
}

SafetensorsTensor SafetensorsFile::Impl::check(SafetensorsEntry entry, const std::byte* data,
                                               uint64_t size) const {
    const std::string name = printable(entry.name, 120);
    const Dtype* dtype = find_dtype(entry.dtype);
    if (!dtype) {
        fail(
            fmt::format("tensor '{}' has the dtype '{}', expected F64, F32, F16, BF16, I64, I32, "
                        "I16, I8, U8 or BOOL",
                        name, printable(entry.dtype, 40)));
    }
    if (entry.shape.size() > kMostDimensions) {
        fail(fmt::format("tensor '{}' has {} dimensions, expected at most {}", name,
                         entry.shape.size(), kMostDimensions));
    }
    if (entry.begin > entry.end || entry.end > size) {
        fail(
            fmt::format("tensor '{}' has the bytes {} to {}, but the file has {} bytes of tensors: "
                        "truncated or corrupt",
                        name, entry.begin, entry.end, size));
    }
    // Against what the tensor has, not against 2^64: the product cannot overflow.
    const uint64_t bytes = entry.end - entry.begin;
    uint64_t needed = dtype->bytes;
    bool fits = true, empty = false;
    SafetensorsTensor tensor;
    for (const uint64_t extent : entry.shape) {
        constexpr uint64_t largest = uint64_t{1} << 62;
        empty = empty || extent == 0;
        fits = fits && extent <= largest && (extent == 0 || needed <= largest / extent);
        if (fits && extent != 0) needed *= extent;
        tensor.shape.push_back(fits ? static_cast<int64_t>(extent) : 0);
    }
    if (!fits || (empty ? 0 : needed) != bytes) {
        fail(fmt::format("tensor '{}' has {} bytes, but its shape [{}] of {} needs {}", name, bytes,
                         fmt::join(entry.shape, ", "), dtype->name,
                         fits ? std::to_string(empty ? 0 : needed) : "more than any file"));
    }
    tensor.name = std::move(entry.name);
    tensor.dtype = dtype->dtype;
    tensor.data = data + entry.begin;
    tensor.bytes = bytes;
    tensor.file = &path;
    return tensor;
}

// The format has neither overlaps, which would make a small file claim a large model, nor gaps.
void SafetensorsFile::Impl::check_order(const std::byte* data, uint64_t size) {
    std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
        return std::tie(a.data, a.bytes, a.name) < std::tie(b.data, b.bytes, b.name);
    });
    uint64_t expected = 0;
    for (const SafetensorsTensor& tensor : tensors) {
        const auto begin = static_cast<uint64_t>(tensor.data - data);
        if (begin != expected) {
            fail(
                fmt::format("tensor '{}' begins at byte {} of the data, expected {}: tensors may "
                            "neither overlap nor leave gaps",
                            printable(tensor.name, 120), begin, expected));
        }
        expected = begin + tensor.bytes;
    }
    if (expected != size) {
        fail(
            fmt::format("has {} bytes of tensors, but its header accounts for {}", size, expected));
    }
}

SafetensorsFile::SafetensorsFile(const fs::path& path) : impl_(std::make_unique<Impl>(path)) {}
SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;

const fs::path& SafetensorsFile::path() const {
    return impl_->path;
}
const std::vector<SafetensorsTensor>& SafetensorsFile::tensors() const {
    return impl_->tensors;
}

}  // namespace tritbench
