// What reading the weights of a cold cell costs, without multiplying them.
#pragma once

#include <string>
#include <vector>

#include "harness/roofline/read_loops.h"
#include "harness/weight_copies.h"
#include "model/thread_pool.h"

namespace tritbench {

// The read bandwidth over the very copies that the cells of a layout rotate over, in turn with
// them: a ceiling that goes up and down with the machine as the cells do, where one measured
// seconds before or after would not.
class CopyReader {
  public:
    // Tries the loops on the copies and keeps the fastest. copies.count() > 1.
    CopyReader(ThreadPool& pool, WeightCopies& copies);

    // Reads the copies next in turn for about as long as a repetition; GB/s.
    double read();

    const std::string& loop() const { return name_; }

  private:
    // `bytes` of copies with one loop; GB/s of all workers together, from start to end.
    double read(const ReadLoop& loop, uint64_t bytes);

    ThreadPool& pool_;
    WeightCopies& copies_;
    ReadLoop loop_;
    std::string name_;
    uint64_t bytes_ = 0;
};

}  // namespace tritbench
