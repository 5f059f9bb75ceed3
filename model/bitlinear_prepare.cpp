// PreparedBatch: activations quantised, in parallel over tokens or over columns.
#include "model/bitlinear.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels/api/error.h"
#include "model/bitlinear_messages.h"

namespace tritbench {

namespace {

// Below this, preparing on one thread is faster than a fork and a join (some 2 to 5 us).
constexpr int64_t kSerialPrepareElements = 32 * 1024;
// Partial maxima of different workers lie at least a cache line apart.
constexpr int64_t kLineFloats = 16;

int64_t round_up(int64_t value, int64_t step) {
    return (value + step - 1) / step * step;
}

// The first bad status of any worker; no allocation, for the timed path.
class FirstStatus {
  public:
    void keep(tb_status status) {
        if (status.code == TB_OK) return;
        bool expected = false;
        if (taken_.compare_exchange_strong(expected, true)) status_ = status;
    }
    // Only after the workers are done.
    tb_status get() const { return status_; }

  private:
    std::atomic<bool> taken_{false};
    tb_status status_{TB_OK, nullptr};
};

}  // namespace

void PreparedBatch::reserve(const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
                            int64_t m) {
    const size_t bytes =
        kernel.prepared_size(&shape, &tile, m) + static_cast<size_t>(kernel.prepared_overread);
    if (buffer_.size() < bytes) buffer_ = AlignedBuffer(bytes);
}

const void* PreparedBatch::data() const {
    return buffer_.data();
}

int64_t PreparedBatch::m() const {
    return m_;
}

void PreparedBatch::prepare_int8(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile,
                                 tb_shape shape, const int8_t* q, const float* q_scale, int64_t m,
                                 int64_t ld) {
    tb_activations act{};
    act.m = m;
    act.ld = ld;
    act.q = q;
    act.q_scale = q_scale;
    split(pool, kernel, tile, shape, act);
}

namespace {

// max |x| of a row; a row that is not finite is refused, it would make silent nonsense.
tb_status take_maximum(float value, float* out) {
    *out = value;
    if (std::isfinite(value)) return {TB_OK, nullptr};
    return {TB_BAD_INPUT, "an activation is infinite or not a number"};
}

[[noreturn]] void refuse(const tb_kernel& kernel, const tb_shape& shape, const tb_tile& tile,
                         int64_t m, tb_status status) {
    throw Error(fmt::format("{}: cannot prepare {} tokens: {}", describe(kernel, shape, tile), m,
                            reason_of(status)));
}

// Both phases for the tokens [m_begin, m_end) on the calling thread; absmax is null where the
// maxima are known.
tb_status prepare_tokens(const tb_kernel& kernel, const tb_tile& tile, const tb_shape& shape,
                         const tb_activations& act, int64_t m_begin, int64_t m_end, float* absmax,
                         void* prepared) {
    if (m_begin == m_end) return {TB_OK, nullptr};
    if (absmax != nullptr) {
        for (int64_t m = m_begin; m < m_end; ++m) {
            const tb_status status =
                take_maximum(kernel.row_absmax(act.x + m * act.ld, shape.k), absmax + m);
            if (status.code != TB_OK) return status;
        }
    }
    return kernel.prepare(&shape, &tile, &act, m_begin, m_end, 0, shape.k, prepared);
}

}  // namespace

void PreparedBatch::prepare(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile,
                            tb_shape shape, const float* x, int64_t m, int64_t ld,
                            const float* absmax) {
    for (int64_t row = 0; absmax != nullptr && row < m; ++row) {
        float ignored = 0.0F;
        const tb_status status = take_maximum(absmax[row], &ignored);
        if (status.code != TB_OK) refuse(kernel, shape, tile, m, status);
    }
    tb_activations act{};
    act.m = m;
    act.ld = ld;
    act.x = x;
    act.absmax = absmax;
    split(pool, kernel, tile, shape, act);
}

void PreparedBatch::split(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile,
                          tb_shape shape, const tb_activations& given) {
    reserve(kernel, tile, shape, given.m);
    const int64_t workers = pool.threads();
    // absmax_ holds the maxima of the tokens, then a block of partial maxima per worker.
    const int64_t block = round_up(given.m, kLineFloats);
    const auto floats = static_cast<size_t>(block * (workers + 1)) * sizeof(float);
    if (absmax_.size() < floats) absmax_ = AlignedBuffer(floats);
    tb_activations act = given;
    float* const absmax = act.x != nullptr && act.absmax == nullptr ? absmax_.as<float>() : nullptr;
    if (absmax != nullptr) act.absmax = absmax;
    m_ = given.m;

    FirstStatus status;
    if (workers == 1 || given.m * shape.k < kSerialPrepareElements) {
        status.keep(prepare_tokens(kernel, tile, shape, act, 0, act.m, absmax, buffer_.data()));
    } else if (given.m >= workers) {
        pool.for_each_worker([&](int worker, int count) {
            const auto [begin, end] = split_range(act.m, 1, worker, count);
            status.keep(
                prepare_tokens(kernel, tile, shape, act, begin, end, absmax, buffer_.data()));
        });
    } else {
        const int64_t step = std::max<int64_t>(1, kernel.prepare_k_step);
        if (absmax != nullptr) {
            pool.for_each_worker([&](int worker, int count) {
                const auto [begin, end] = split_range(shape.k, step, worker, count);
                float* partial = absmax + block * (worker + 1);
                for (int64_t m = 0; m < act.m; ++m) {
                    partial[m] = kernel.row_absmax(act.x + m * act.ld + begin, end - begin);
                }
            });
            for (int64_t m = 0; m < act.m; ++m) {
                float most = 0.0F;
                for (int64_t worker = 0; worker < workers; ++worker) {
                    // Not std::max: a NaN must survive to be refused.
                    const float partial = absmax[block * (worker + 1) + m];
                    if (!(partial <= most)) most = partial;
                    if (std::isnan(most)) break;
                }
                status.keep(take_maximum(most, absmax + m));
            }
        }
        if (status.get().code == TB_OK) {
            pool.for_each_worker([&](int worker, int count) {
                const auto [begin, end] = split_range(shape.k, step, worker, count);
                if (begin == end) return;
                status.keep(
                    kernel.prepare(&shape, &tile, &act, 0, act.m, begin, end, buffer_.data()));
            });
        }
    }
    if (status.get().code != TB_OK) refuse(kernel, shape, tile, act.m, status.get());
}

}  // namespace tritbench
