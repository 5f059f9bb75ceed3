// What may race for a shape: every kernel that runs here with every tile it takes, by the packed
// bytes that they need.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/api/kernel.h"

namespace tritbench {

struct Candidate {
    const tb_kernel* kernel = nullptr;
    tb_tile tile{};
};
bool same_candidate(const Candidate& a, const Candidate& b);
// "i2r_avx512vnni prefetch=0".
std::string candidate_name(const Candidate& candidate);

struct CandidateRules {
    std::string globs = "*";   // as match_kernels takes them
    bool bounded = false;      // kernels that are not exact too
    bool half_scales = false;  // layouts that round scales to halves: other logits than others
    bool row_scales = false;   // rows have scales of their own: layouts with one scale are out
};

// Kernels that run here, scalar ones only where there are no others. Throws Error if none is left.
std::vector<const tb_kernel*> racing_kernels(const CandidateRules& rules);

// Candidates that share packed bytes: one layout, and one tile of it as far as bytes depend on it.
struct PackedVariant {
    std::string name;                   // "i2r", "tl2[BM=256,BK=96]"
    std::string layout;                 // "tl2"
    uint64_t bytes = 0;                 // packed
    std::vector<Candidate> candidates;  // each kernel's default tile before its others
};

// The name of the variant that a candidate is of.
std::string variant_name(const Candidate& candidate);

// Of the kernels that can hold the shape; those with default tiles first. Throws Error, with a
// reason, if none can.
std::vector<PackedVariant> packed_variants(const std::vector<const tb_kernel*>& kernels,
                                           tb_shape shape);

// Products of `least` to `most` tokens (0: any number above), which race with `raced` of them.
struct Bucket {
    int64_t least = 1, most = 0, raced = 1;
};
// "1", "2-8", "129-".
std::string bucket_name(const Bucket& bucket);
// Buckets that end with each batch, the last one open: 1, 8, 32 is 1, 2-8 and 9-. Throws Error
// unless the batches ascend from 1 or more.
std::vector<Bucket> buckets_of(const std::vector<int64_t>& batches);

// Those of a variant that take every product of a bucket, and differ in the one that races.
std::vector<Candidate> candidates_for(const PackedVariant& variant, const Bucket& bucket);

}  // namespace tritbench
