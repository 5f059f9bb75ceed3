// What reading weights costs, without multiplying them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/roofline/read_loops.h"
#include "harness/weight_copies.h"
#include "model/thread_pool.h"
#include "model/transformer.h"
#include "model/work_shares.h"

namespace tritbench {

using MemoryPieces = std::vector<std::span<const std::byte>>;

// Memory that readings take in turn.
class ReadTurns {
  public:
    ReadTurns() = default;
    ReadTurns(const ReadTurns&) = delete;
    ReadTurns& operator=(const ReadTurns&) = delete;
    virtual ~ReadTurns() = default;
    virtual uint64_t total_bytes() const = 0;
    // Appends what is next, about `bytes` and at most all of it. Each piece begins at a multiple of
    // 64 bytes.
    virtual void take(uint64_t bytes, MemoryPieces& pieces) = 0;
    virtual std::string_view whose() const = 0;  // "the cell's own weights"
};

// The copies that cold cells of a layout rotate over, in turn with the cells.
class CopyTurns : public ReadTurns {
  public:
    explicit CopyTurns(WeightCopies& copies) : copies_(copies) {}
    uint64_t total_bytes() const override { return copies_.total_bytes(); }
    void take(uint64_t bytes, MemoryPieces& pieces) override {
        pieces.push_back(copies_.take(bytes));
    }
    std::string_view whose() const override { return "the cell's own weights"; }

  private:
    WeightCopies& copies_;
};

// The linear layers of a model, one after another, where they lie: repacked in memory, or mapped.
class ModelTurns : public ReadTurns {
  public:
    explicit ModelTurns(const Model& model);
    uint64_t total_bytes() const override { return total_; }
    void take(uint64_t bytes, MemoryPieces& pieces) override;
    std::string_view whose() const override {
        return mapped_ ? "the model's own weights, mapped" : "the model's own weights, huge pages";
    }

  private:
    MemoryPieces layers_;
    uint64_t total_ = 0;
    bool mapped_ = false;  // most of them, where the file has them
    size_t next_ = 0;      // of layers_
    uint64_t taken_ = 0;   // of that one
};

// The read bandwidth of the very weights that cells multiply, in turn with them: a ceiling that
// goes up and down with the machine as the cells do, where one measured seconds before or after
// would not.
class WeightReader {
  public:
    // Tries the loops and keeps the fastest. A reading takes about as long as a repetition at least
    // must (kShortestRepetitionNs), and covers no less than `least_bytes`, as far as there are.
    WeightReader(ThreadPool& pool, ReadTurns& turns, uint64_t least_bytes = 0);

    // Reads what is next in turn; GB/s of all workers together, from start to end.
    double read();

    const std::string& loop() const { return name_; }

  private:
    double read(const ReadLoop& loop, uint64_t bytes);

    ThreadPool& pool_;
    ReadTurns& turns_;
    ReadLoop loop_;
    std::string name_;
    uint64_t bytes_ = 0;
    MemoryPieces pieces_, chunks_;  // of the reading at hand
    WorkShares shares_;
};

}  // namespace tritbench
