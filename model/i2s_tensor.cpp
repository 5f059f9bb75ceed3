#include "model/i2s_tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench {

namespace {

constexpr int64_t kBlock = 128;
constexpr int64_t kBlockBytes = 32;

[[noreturn]] void refuse_code(const GgufFile& file, const GgufTensor& tensor) {
    throw Error(
        fmt::format("{}: tensor {}: holds code 3, which I2_S does not define; expected 0, "
                    "1 or 2: the file is damaged or of another layout",
                    printable(file.path().string(), 300), tensor.name));
}

// One block of 32 bytes to 128 trits; the bits left in the result are codes 3.
uint8_t decode_block(const uint8_t* bytes, int8_t* trits) {
    uint8_t wrong = 0;
    for (int j = 0; j < 32; ++j) {
        const uint8_t byte = bytes[j];
        wrong = static_cast<uint8_t>(wrong | (byte & (byte >> 1) & 0x55));
        trits[j] = static_cast<int8_t>((byte >> 6) - 1);
        trits[j + 32] = static_cast<int8_t>(((byte >> 4) & 3) - 1);
        trits[j + 64] = static_cast<int8_t>(((byte >> 2) & 3) - 1);
        trits[j + 96] = static_cast<int8_t>((byte & 3) - 1);
    }
    return wrong;
}

}  // namespace

float i2s_scale(const GgufFile& file, const GgufTensor& tensor) {
    float scale = 0.0F;
    std::memcpy(&scale, tensor.data + tensor.elements() / 4, sizeof scale);
    if (!std::isfinite(scale) || scale <= 0.0F) {
        throw Error(fmt::format("{}: tensor {}: scale {}; expected a positive finite number",
                                printable(file.path().string(), 300), tensor.name, scale));
    }
    return scale;
}

void i2s_decode(const GgufFile& file, const GgufTensor& tensor, int64_t begin, int64_t end,
                int8_t* trits) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(tensor.data);
    uint8_t wrong = 0;
    for (int64_t at = begin; at < end;) {
        const int64_t block = at / kBlock;
        const int64_t offset = at % kBlock;
        const int64_t count = std::min(kBlock - offset, end - at);
        if (count == kBlock) {
            wrong |= decode_block(bytes + block * kBlockBytes, trits);
        } else {
            int8_t whole[kBlock];
            wrong |= decode_block(bytes + block * kBlockBytes, whole);
            std::copy_n(whole + offset, count, trits);
        }
        trits += count;
        at += count;
    }
    if (wrong != 0) refuse_code(file, tensor);
}

void i2s_check(ThreadPool& pool, const GgufFile& file, const GgufTensor& tensor) {
    const int64_t blocks = tensor.elements() / kBlock;
    std::atomic<bool> wrong{false};
    pool.for_each_worker([&](int worker, int workers) {
        const auto [begin, end] = split_range(blocks, 1, worker, workers);
        const std::byte* from = tensor.data + begin * kBlockBytes;
        uint64_t found = 0;
        for (int64_t i = 0; i < (end - begin) * kBlockBytes; i += 8) {
            uint64_t word = 0;
            std::memcpy(&word, from + i, sizeof word);
            found |= word & (word >> 1) & 0x5555555555555555U;
        }
        if (found != 0) wrong.store(true, std::memory_order_relaxed);
    });
    if (wrong.load()) refuse_code(file, tensor);
}

}  // namespace tritbench
