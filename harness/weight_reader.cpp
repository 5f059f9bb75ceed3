#include "harness/weight_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "harness/measure.h"
#include "harness/statistics.h"

namespace tritbench {
namespace {

constexpr int kTries = 5;  // of each loop
constexpr uint64_t kAlignment = 64;
// What a worker takes at a time: as in products, who is done early takes of the others' share.
constexpr size_t kChunk = size_t{512} * TB_PROBE_ROUND_BYTES;

// What the loops return ends here, so that their work is needed.
std::atomic<uint64_t> g_sink{0};

// The whole rounds of a loop that lie in these bytes, from a multiple of 64 on.
std::span<const std::byte> whole_rounds(std::span<const std::byte> bytes) {
    const auto at = reinterpret_cast<uintptr_t>(bytes.data());
    const uint64_t skipped = (kAlignment - at % kAlignment) % kAlignment;
    if (bytes.size() < skipped + TB_PROBE_ROUND_BYTES) return {};
    const uint64_t rounds = (bytes.size() - skipped) / TB_PROBE_ROUND_BYTES;
    return bytes.subspan(skipped, rounds * TB_PROBE_ROUND_BYTES);
}

}  // namespace

ModelTurns::ModelTurns(const Model& model) {
    uint64_t repacked = 0;
    for (const Model::NamedLinear& linear : model.linears()) {
        const auto whole = whole_rounds(linear.weights->bytes);
        if (whole.empty()) continue;
        layers_.push_back(whole);
        total_ += whole.size();
        if (linear.weights->storage.size() > 0) repacked += whole.size();
    }
    mapped_ = 2 * repacked < total_;
}

void ModelTurns::take(uint64_t bytes, MemoryPieces& pieces) {
    for (uint64_t left = std::min(bytes, total_); left >= TB_PROBE_ROUND_BYTES;) {
        const auto layer = layers_[next_];
        const uint64_t part = std::min<uint64_t>(
            layer.size() - taken_, left / TB_PROBE_ROUND_BYTES * TB_PROBE_ROUND_BYTES);
        pieces.push_back(layer.subspan(taken_, part));
        left -= part;
        taken_ += part;
        if (taken_ < layer.size()) continue;
        next_ = (next_ + 1) % layers_.size();
        taken_ = 0;
    }
}

WeightReader::WeightReader(ThreadPool& pool, ReadTurns& turns, uint64_t least_bytes)
    : pool_(pool), turns_(turns), loop_(read_loops().front()) {
    shares_.reserve(pool.threads());
    // A first guess of how much fits a repetition; it also faults nothing in, for the weights were
    // written or proved before.
    const uint64_t all = turns.total_bytes();
    bytes_ = std::min<uint64_t>(all, uint64_t{16} << 20);
    const double gb_per_s = read(loop_, bytes_);
    bytes_ = std::min(
        all, std::max(least_bytes, static_cast<uint64_t>(gb_per_s * kShortestRepetitionNs)));
    const std::vector<ReadLoop> loops = read_loops();
    std::vector<std::vector<double>> rates(loops.size());
    for (int i = 0; i < kTries; ++i) {
        for (size_t l = 0; l < loops.size(); ++l) rates[l].push_back(read(loops[l], bytes_));
    }
    double best = 0;
    for (size_t l = 0; l < loops.size(); ++l) {
        const double rate = median(rates[l]);
        if (rate <= best) continue;
        best = rate;
        loop_ = loops[l];
    }
    name_ = fmt::format("{}, {}", loop_.name(), turns.whose());
}

double WeightReader::read() {
    return read(loop_, bytes_);
}

double WeightReader::read(const ReadLoop& loop, uint64_t bytes) {
    pieces_.clear();
    turns_.take(bytes, pieces_);
    chunks_.clear();
    uint64_t done = 0;
    for (const auto& piece : pieces_) {
        auto rest = whole_rounds(piece);
        done += rest.size();
        while (!rest.empty()) {
            chunks_.push_back(rest.first(std::min(rest.size(), kChunk)));
            rest = rest.subspan(chunks_.back().size());
        }
    }
    shares_.begin(static_cast<int64_t>(chunks_.size()), pool_.threads());
    const int64_t begin = now_ns();
    pool_.for_each_worker([&](int worker, int workers) {
        uint64_t sum = 0;
        shares_.run(worker, workers, [&](int64_t i) {
            const auto& chunk = chunks_[static_cast<size_t>(i)];
            sum ^= loop.read(chunk.data(), chunk.size() / TB_PROBE_ROUND_BYTES, 1);
        });
        g_sink.fetch_xor(sum, std::memory_order_relaxed);
    });
    const auto ns = static_cast<double>(std::max<int64_t>(now_ns() - begin, 1));
    return static_cast<double>(done) / ns;
}

}  // namespace tritbench
