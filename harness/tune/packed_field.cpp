#include "harness/tune/packed_field.h"

#include <algorithm>
#include <utility>

namespace tritbench {

namespace {

const Candidate& furthest_reader(const Candidate& a, const Candidate& b) {
    return b.kernel->packed_overread > a.kernel->packed_overread ? b : a;
}

}  // namespace

PackedField::PackedField(tb_shape shape, std::vector<PackedVariant> variants, RowProvider rows,
                         std::function<uint64_t(const tb_kernel&)> bytes_between, uint64_t memory)
    : shape_(shape),
      variants_(std::move(variants)),
      rows_(std::move(rows)),
      bytes_between_(std::move(bytes_between)),
      memory_(memory),
      packed_(variants_.size()),
      copied_(variants_.size(), false) {
    for (const PackedVariant& variant : variants_) {
        packers_.push_back(variant.candidates.front());
        for (const Candidate& c : variant.candidates) {
            packers_.back() = furthest_reader(packers_.back(), c);
        }
    }
}

size_t PackedField::include(const Candidate& candidate) {
    const std::string name = variant_name(candidate);
    size_t place = 0;
    while (place < variants_.size() && variants_[place].name != name) ++place;
    if (place == variants_.size()) {
        variants_.push_back({name,
                             candidate.kernel->layout,
                             candidate.kernel->packed_size(&shape_, &candidate.tile),
                             {}});
        packers_.push_back(candidate);
        packed_.emplace_back();
        copied_.push_back(false);
    } else {
        packers_[place] = furthest_reader(packers_[place], candidate);
    }
    return place;
}

WeightCopies& PackedField::packed(size_t variant, ThreadPool& pool) {
    if (packed_[variant] == nullptr) {
        const Candidate& packer = packers_[variant];
        packed_[variant] =
            std::make_unique<WeightCopies>(pool, *packer.kernel, packer.tile, shape_, rows_, 1, 0);
    }
    return *packed_[variant];
}

bool PackedField::make_copies(size_t variant, ThreadPool& pool) {
    if (copied_[variant]) return true;
    const uint64_t wanted = bytes_wanted(variant);
    if (used_ + wanted > memory_) return false;
    used_ += wanted;
    const auto overread = static_cast<size_t>(packers_[variant].kernel->packed_overread);
    const uint64_t count = copies_wanted(variant);
    if (count > 1) packed(variant, pool).copy(pool, static_cast<size_t>(count), overread);
    copied_[variant] = true;
    return true;
}

void PackedField::drop(size_t variant) {
    if (!copied_[variant]) packed_[variant].reset();
}

uint64_t PackedField::copies_wanted(size_t variant) const {
    const PackedVariant& v = variants_[variant];
    const uint64_t between = bytes_between_(*packers_[variant].kernel);
    return std::max<uint64_t>(1, (between + v.bytes - 1) / v.bytes);
}

uint64_t PackedField::bytes_wanted(size_t variant) const {
    return copies_wanted(variant) * (variants_[variant].bytes + 4096);
}

}  // namespace tritbench
