#include "model/gguf_verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace tritbench {
namespace {

constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kLowBits = 0x5555555555555555;  // the low bit of each 2-bit code

template <class T>
T load(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof(T));
    return value;
}

// Sums of up to 4 * 63 one-bit fields in each byte, in a form that compilers vectorise for any
// ISA: the baseline has no population count.
struct CodeCounts {
    uint64_t zeros = 0;
    uint64_t invalid = 0;  // bits set: some code 3
};

CodeCounts count_codes(const std::byte* data, uint64_t words) {
    constexpr uint64_t kPairs = 0x3333333333333333, kNibbles = 0x0F0F0F0F0F0F0F0F;
    constexpr uint64_t kBatch = 63;  // a byte lane then holds at most 63 * 4 = 252
    CodeCounts counts;
    for (uint64_t begin = 0; begin < words; begin += kBatch) {
        const uint64_t end = std::min(words, begin + kBatch);
        uint64_t lanes = 0;
        for (uint64_t i = begin; i < end; ++i) {
            const auto codes = load<uint64_t>(data + i * 8);
            const uint64_t low = codes & kLowBits, high = (codes >> 1) & kLowBits;
            counts.invalid |= low & high;
            const uint64_t zero = low & ~high;
            const uint64_t pairs = (zero & kPairs) + ((zero >> 2) & kPairs);
            lanes += (pairs & kNibbles) + ((pairs >> 4) & kNibbles);
        }
        for (int byte = 0; byte < 8; ++byte) counts.zeros += (lanes >> (8 * byte)) & 0xFF;
    }
    return counts;
}

// True if no value of `words` has all of the exponent bits of `mask` set (infinity or NaN).
template <class T>
bool all_finite(const std::byte* data, uint64_t count, T mask) {
    T bad = 0;
    for (uint64_t i = 0; i < count; ++i) {
        const T value = load<T>(data + i * sizeof(T));
        bad = static_cast<T>(bad | static_cast<T>((value & mask) == mask));
    }
    return bad == 0;
}

// Where floating-point numbers are: at `first` in every `stride` bytes.
struct FloatField {
    uint64_t bytes;  // 2, 4, 8
    uint64_t mask;   // exponent bits
    uint64_t first;
    uint64_t stride;
    const char* what;
};

const FloatField* float_field(GgmlType type) {
    static constexpr uint64_t half = 0x7C00;
    static const std::array<std::pair<GgmlType, FloatField>, 9> fields{{
        {GgmlType::F32, {4, 0x7F800000, 0, 4, "value"}},
        {GgmlType::F16, {2, half, 0, 2, "value"}},
        {GgmlType::BF16, {2, 0x7F80, 0, 2, "value"}},
        {GgmlType::F64, {8, 0x7FF0000000000000, 0, 8, "value"}},
        {GgmlType::Q4_0, {2, half, 0, 18, "block scale"}},
        {GgmlType::Q8_0, {2, half, 0, 34, "block scale"}},
        {GgmlType::Q6_K, {2, half, 208, 210, "block scale"}},
        {GgmlType::TQ1_0, {2, half, 52, 54, "block scale"}},
        {GgmlType::TQ2_0, {2, half, 64, 66, "block scale"}},
    }};
    for (const auto& [known, field] : fields) {
        if (known == type) return &field;
    }
    return nullptr;
}

bool finite_at(const std::byte* at, const FloatField& field) {
    uint64_t value = 0;
    std::memcpy(&value, at, field.bytes);
    return (value & field.mask) != field.mask;
}

// The index of the first unit in [begin, end) whose number is not finite, or kNone.
uint64_t first_not_finite(const GgufTensor& t, const FloatField& field, uint64_t begin,
                          uint64_t end) {
    const std::byte* data = t.data + begin * field.stride;
    const uint64_t count = end - begin;
    if (field.stride == field.bytes) {  // dense: the fast way first
        const bool fine =
            field.bytes == 2   ? all_finite(data, count, static_cast<uint16_t>(field.mask))
            : field.bytes == 4 ? all_finite(data, count, static_cast<uint32_t>(field.mask))
                               : all_finite(data, count, field.mask);
        if (fine) return kNone;
    }
    for (uint64_t i = begin; i < end; ++i) {
        if (!finite_at(t.data + i * field.stride + field.first, field)) return i;
    }
    return kNone;
}

void lower_to(std::atomic<uint64_t>& least, uint64_t value) {
    uint64_t seen = least.load();
    while (value < seen && !least.compare_exchange_weak(seen, value)) {
    }
}

TensorCheck check_floats(const GgufTensor& t, const FloatField& field, ThreadPool& pool) {
    const uint64_t units = t.bytes / field.stride;
    std::atomic<uint64_t> bad{kNone};
    pool.for_each_worker([&](int worker, int workers) {
        const auto [begin, end] = split_range(static_cast<int64_t>(units), 4096, worker, workers);
        if (begin < end) {
            lower_to(bad, first_not_finite(t, field, static_cast<uint64_t>(begin),
                                           static_cast<uint64_t>(end)));
        }
    });
    TensorCheck check;
    if (bad != kNone) {
        check.problem = fmt::format("{} {} is not a finite number", field.what, bad.load());
    }
    return check;
}

// The byte of the first code 3.
uint64_t find_code_3(const GgufTensor& t, uint64_t packed) {
    for (uint64_t i = 0; i < packed; ++i) {
        const auto byte = std::to_integer<unsigned>(t.data[i]);
        if ((byte & (byte >> 1) & 0x55U) != 0) return i;
    }
    return kNone;
}

TensorCheck check_i2s(const GgufTensor& t, ThreadPool& pool) {
    const uint64_t packed = t.bytes - 32;
    std::atomic<uint64_t> zeros{0}, invalid{0};
    pool.for_each_worker([&](int worker, int workers) {
        const auto [begin, end] =
            split_range(static_cast<int64_t>(packed / 8), 512, worker, workers);
        const CodeCounts counts =
            count_codes(t.data + begin * 8, static_cast<uint64_t>(end - begin));
        zeros += counts.zeros;
        invalid |= counts.invalid;
    });
    TensorCheck check;
    check.ternary = true;
    check.zeros = zeros;
    check.scale = load<float>(t.data + packed);
    if (invalid != 0) {
        check.problem =
            fmt::format("byte {} holds code 3, expected 0, 1 or 2", find_code_3(t, packed));
    } else if (!std::isfinite(check.scale) || !(check.scale > 0)) {
        check.problem = fmt::format("scale is {}, expected a finite number above 0", check.scale);
    }
    return check;
}

}  // namespace

TensorCheck check_tensor(const GgufTensor& tensor, ThreadPool& pool) {
    TensorCheck check;
    if (!tensor.data) {
        check.problem = fmt::format("size of {} as {} is unknown: cannot be checked",
                                    extents_text(tensor.ne), ggml_type_name(tensor.type));
        return check;
    }
    if (tensor.type == GgmlType::I2_S) return check_i2s(tensor, pool);
    if (const FloatField* field = float_field(tensor.type))
        return check_floats(tensor, *field, pool);
    return check;  // integers: every value is possible
}

}  // namespace tritbench
