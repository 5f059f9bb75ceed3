// The read bandwidth that decode is held against: readings of the model's weights, one after every
// repetition.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "harness/model_row.h"
#include "harness/weight_reader.h"

namespace tritbench {

// What a step visits, each byte once: of the layers that share weights, those weights.
uint64_t resident_bytes(const Model& model);

// The readers of a pool. Cells of one model with equally many steps share one.
class DecodeReaders {
  public:
    explicit DecodeReaders(ThreadPool& pool) : pool_(pool) {}

    // A reading stands for a twentieth of a repetition, and is too much for the caches to keep.
    WeightReader& reader(const Model& model, uint64_t steps, uint64_t bytes_per_step);

  private:
    ThreadPool& pool_;
    std::map<const Model*, std::unique_ptr<ModelTurns>> turns_;
    std::map<std::pair<const Model*, uint64_t>, std::unique_ptr<WeightReader>> readers_;
};

// Takes down the bandwidth of the repetition that just ended, whose samples begin at `first`, and
// that of the machine right after it.
void read_beside(ModelMeasurement& measured, size_t first, WeightReader& reader);

// The ceiling's columns. Of a kernel that skips zeros, only what it touched counts.
void set_decode_ceiling(Row& row, const ModelMeasurement& measured, const WeightReader& reader,
                        std::set<std::string>& marks);

}  // namespace tritbench
