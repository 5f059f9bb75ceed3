#include "harness/tune/candidates.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "harness/verify/gate.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/tensor_types.h"

namespace tritbench {

namespace {

bool is_scalar(const tb_kernel& kernel) {
    return std::string_view(kernel.isa) == "scalar";
}

bool allowed(const tb_kernel& kernel, const CandidateRules& rules) {
    if (!runs_here(kernel)) return false;
    // Other kinds of weights round those of a ternary layer, however exact their sums are.
    const bool exact = kernel.exactness == TB_EXACT && kernel.weight_kind == TB_WEIGHT_TERNARY;
    if (!exact && !(rules.bounded && kernel.exactness != TB_LOSSY)) return false;
    if (kernel.scale_type == TB_SCALE_F16 && !rules.half_scales) return false;
    return !(rules.row_scales && kernel.weight_kind == TB_WEIGHT_TERNARY &&
             kernel.scale_granularity == TB_SCALE_TENSOR);
}

bool is_default(const Candidate& c) {
    return same_candidate(c, {c.kernel, default_tile(*c.kernel)});
}

// A GEMV fetches ahead, a GEMM does not: dot/prefetch.h.
bool fetches_as_by_default(const Candidate& c) {
    const tb_tile standard = default_tile(*c.kernel);
    for (int32_t i = 0; i < c.kernel->tile_param_count; ++i) {
        if (std::string_view(c.kernel->tile_params[i].name) == "prefetch" &&
            c.tile.value[i] != standard.value[i]) {
            return false;
        }
    }
    return true;
}

}  // namespace

bool same_candidate(const Candidate& a, const Candidate& b) {
    return a.kernel == b.kernel &&
           std::equal(a.tile.value, a.tile.value + a.kernel->tile_param_count, b.tile.value);
}

std::string candidate_name(const Candidate& candidate) {
    const std::string tile = tile_name(*candidate.kernel, candidate.tile);
    return candidate.kernel->id + (tile.empty() ? "" : " " + tile);
}

std::vector<const tb_kernel*> racing_kernels(const CandidateRules& rules) {
    std::vector<const tb_kernel*> scalar, others;
    for (const tb_kernel* kernel : match_kernels(rules.globs)) {
        if (allowed(*kernel, rules)) (is_scalar(*kernel) ? scalar : others).push_back(kernel);
    }
    if (others.empty()) others = std::move(scalar);
    if (others.empty()) {
        throw Error(
            fmt::format("--kernel '{}': none of them may race here; expected {} kernels{} "
                        "that run on this CPU",
                        rules.globs, rules.bounded ? "exact or bounded" : "exact",
                        rules.half_scales ? "" : " with float32 scales"));
    }
    return others;
}

std::string variant_name(const Candidate& candidate) {
    const std::string tile = packed_tile_name(*candidate.kernel, candidate.tile);
    return candidate.kernel->layout + (tile.empty() ? "" : "[" + tile + "]");
}

std::vector<PackedVariant> packed_variants(const std::vector<const tb_kernel*>& kernels,
                                           tb_shape shape) {
    std::vector<PackedVariant> variants;
    std::map<std::string, size_t> places;
    std::string refusal;
    for (const bool standard : {true, false}) {
        for (const tb_kernel* kernel : kernels) {
            for (const tb_tile& tile : all_tiles(*kernel)) {
                const Candidate candidate{kernel, tile};
                if (is_default(candidate) != standard) continue;
                const tb_status status = kernel->accepts(&shape, &tile);
                if (status.code != TB_OK) {
                    if (refusal.empty()) refusal = fmt::format("{}: {}", kernel->id, status.reason);
                    continue;
                }
                const std::string name = variant_name(candidate);
                const auto [at, added] = places.try_emplace(name, variants.size());
                if (added) {
                    variants.push_back(
                        {name, kernel->layout, kernel->packed_size(&shape, &tile), {}});
                }
                variants[at->second].candidates.push_back(candidate);
            }
        }
    }
    if (variants.empty()) {
        throw Error(fmt::format("shape {}x{}: no kernel that may race takes it ({})", shape.n,
                                shape.k, refusal));
    }
    return variants;
}

std::string bucket_name(const Bucket& bucket) {
    if (bucket.most == 0) return fmt::format("{}-", bucket.least);
    if (bucket.least == bucket.most) return std::to_string(bucket.most);
    return fmt::format("{}-{}", bucket.least, bucket.most);
}

std::vector<Bucket> buckets_of(const std::vector<int64_t>& batches) {
    std::vector<Bucket> buckets;
    int64_t least = 1;
    for (const int64_t batch : batches) {
        if (batch < least) {
            throw Error(fmt::format("--batch: {} after {}; expected batches that ascend from 1",
                                    batch, least - 1));
        }
        buckets.push_back({least, batch, batch});
        least = batch + 1;
    }
    if (buckets.empty()) throw Error("--batch: no batches; expected at least one");
    buckets.back().most = 0;
    return buckets;
}

std::vector<Candidate> candidates_for(const PackedVariant& variant, const Bucket& bucket) {
    std::vector<Candidate> out;
    for (const Candidate& c : variant.candidates) {
        const tb_kernel& kernel = *c.kernel;
        // A single token is a gemv, which every kernel has.
        const bool gemm = bucket.most != 1;
        const bool too_small = gemm && std::max<int64_t>(2, bucket.least) < kernel.min_m;
        const bool too_large =
            gemm && kernel.max_m > 0 && (bucket.most == 0 || bucket.most > kernel.max_m);
        if (too_small || too_large) continue;
        if (bucket.raced > 1 && !fetches_as_by_default(c)) continue;
        out.push_back(c);
    }
    return out;
}

}  // namespace tritbench
