#include "model/load_linear.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/first_error.h"
#include "model/gguf_verify.h"
#include "model/printable.h"

namespace tritbench {
namespace {

bool can_map(const tb_kernel& kernel, const StoredMatrix& stored) {
    return std::string_view(kernel.layout) == stored.format().codec->layout &&
           !stored.packed().empty();
}

// The tile that the layer will be packed with: the file's own if its bytes are taken as they are.
tb_tile tile_of(const PlanCall& packer, const StoredMatrix& stored) {
    if (!can_map(*packer.kernel, stored)) return packer.tile;
    PackedWeights as_stored;
    as_stored.kernel = stored.format().codec;
    as_stored.tile = stored.format().tile;
    return call_tile(*packer.kernel, packer.tile, as_stored);
}

// Weights that a quantised kernel takes as the file has them: what they are is the file's affair.
bool taken_as_quantised(const tb_kernel& kernel, const StoredMatrix& stored) {
    return kernel.weight_kind == TB_WEIGHT_QUANTISED && can_map(kernel, stored);
}

void load_quantised(const LinearJob& job, ThreadPool& pool) {
    check_values(job.stored, pool);
    job.into->weights = map_packed(job.packer, job.stored);
    job.into->rows = [stored = job.stored](int64_t begin, int64_t end, int8_t*, float* values,
                                           float* scales) {
        scales[0] = 1.0F;
        stored.values(begin, end, values);
    };
}

void load_ternary(const LinearJob& job, ThreadPool& pool) {
    const tb_kernel& kernel = *job.packer.kernel;
    const bool has_layout = can_map(kernel, job.stored);
    // Packing reads every code anyway.
    job.into->source = std::make_unique<const TernaryMatrix>(
        pool, job.stored, has_layout ? TernaryMatrix::Read::Codes : TernaryMatrix::Read::Scales);
    job.into->rows = job.into->source->rows_for(kernel);
    if (has_layout && job.into->source->codes_are_trits()) {
        job.into->weights = map_packed(job.packer, job.stored);
    } else {
        job.into->weights = pack_weights(pool, kernel, tile_of(job.packer, job.stored),
                                         job.stored.shape(), job.into->rows);
    }
}

}  // namespace

PackedWeights map_packed(const PlanCall& packer, const StoredMatrix& stored) {
    const tb_kernel& kernel = *packer.kernel;
    const tb_tile tile = tile_of(packer, stored);
    const std::span<const std::byte> bytes = stored.packed();
    const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    const uint64_t readable =
        (stored.file().file_bytes() + page - 1) / page * page - stored.tensor().file_offset;
    const bool aligned =
        reinterpret_cast<uintptr_t>(bytes.data()) % static_cast<uintptr_t>(kernel.packed_align) ==
        0;
    if (aligned && bytes.size() + static_cast<uint64_t>(kernel.packed_overread) <= readable) {
        return view_packed(kernel, tile, stored.shape(), bytes);
    }
    AlignedBuffer copy(bytes.size() + static_cast<size_t>(kernel.packed_overread));
    std::memcpy(copy.data(), bytes.data(), bytes.size());
    PackedWeights out = view_packed(kernel, tile, stored.shape(), copy.span().first(bytes.size()));
    out.storage = std::move(copy);
    return out;
}

void check_values(const StoredMatrix& stored, ThreadPool& pool) {
    const TensorCheck check = check_tensor(stored.tensor(), pool);
    if (!check.problem.empty()) {
        throw Error(fmt::format("{}: tensor {}: {}", printable(stored.file().path().string(), 300),
                                printable(stored.tensor().name), check.problem));
    }
    if (stored.format().codec->weight_kind != TB_WEIGHT_QUANTISED) return;
    constexpr int64_t chunk = 256;
    for_chunks(pool, stored.shape().n, chunk, [&](auto&& next) {
        int64_t begin = 0, end = 0;
        while (next(&begin, &end)) stored.check(begin, end);
    });
}

void load_linears(const std::vector<LinearJob>& jobs, ThreadPool& pool,
                  const LoadProgress& progress) {
    uint64_t total = 0, done = 0;
    for (const LinearJob& job : jobs) {
        const tb_shape shape = job.stored.shape();
        const tb_tile tile = tile_of(job.packer, job.stored);
        require_accepts(*job.packer.kernel, shape, tile);
        total += job.packer.kernel->packed_size(&shape, &tile);
    }
    for (const LinearJob& job : jobs) {
        if (taken_as_quantised(*job.packer.kernel, job.stored)) {
            load_quantised(job, pool);
        } else {
            load_ternary(job, pool);
        }
        done += job.into->weights.bytes.size();
        if (progress) progress(done, total);
    }
}

void check_linears(const std::vector<LinearJob>& jobs, ThreadPool* pool) {
    ThreadPool caller(1, {}, false);
    for (const LinearJob& job : jobs) {
        const tb_kernel& codec = *job.stored.format().codec;
        const bool scale_only = job.stored.ternary() && codec.scale_granularity == TB_SCALE_TENSOR;
        if (pool != nullptr && codec.weight_kind == TB_WEIGHT_QUANTISED) {
            check_values(job.stored, *pool);
        } else if (pool != nullptr) {
            TernaryMatrix(*pool, job.stored, TernaryMatrix::Read::Codes);
        } else if (scale_only) {
            TernaryMatrix(caller, job.stored, TernaryMatrix::Read::Scales);
        }
    }
}

}  // namespace tritbench
