#include "harness/cell_bench.h"

#include "harness/measure.h"
#include "harness/statistics.h"

namespace tritbench {
namespace {

constexpr int64_t kShortestPrepareNs = 200'000;
constexpr int kPrepareRepetitions = 11;
constexpr int64_t kCopyProofNs = 500'000'000;

}  // namespace

CellBench::CellBench(ThreadPool& pool, const Cell& measured, size_t its_position,
                     WeightCopies& copies, const RowProvider& rows, const TestActivations& x,
                     uint64_t seed)
    : cell(measured),
      position(its_position),
      pool_(pool),
      copies_(copies),
      x_(x),
      proof_(pool, cell.kernel(), cell.tile(), cell.shape, rows, seed) {
    prepared_.reserve(cell.kernel(), cell.tile(), cell.shape, cell.batch);
    prepare();
    scratch_.reserve(cell.kernel(), cell.tile(), cell.shape, cell.batch, pool.threads());
    y_ = AlignedBuffer(static_cast<size_t>(cell.batch * cell.shape.n) * sizeof(float));
}

ProofResult CellBench::prove(const std::function<void()>& alive) const {
    const int64_t begin = now_ns();
    ProofResult result;
    for (size_t i = 0; i < copies_.count(); ++i) {
        const size_t which = i == 1 ? copies_.count() - 1 : (copies_.next + i) % copies_.count();
        result = proof_.check(pool_, copies_.views()[which], prepared_, x_, scratch_);
        alive();
        if (!result.ok() || (i >= 1 && now_ns() - begin > kCopyProofNs)) break;
    }
    return result;
}

void CellBench::warm_up() {
    Timed timed{repeat_product, this};
    calls = calibrate(timed, kShortestRepetitionNs, &warmups);
    Timed preparation{repeat_prepare, this};
    const int64_t prepare_calls = calibrate(preparation, kShortestPrepareNs);
    std::vector<double> times;
    for (int i = 0; i < kPrepareRepetitions; ++i) {
        times.push_back(static_cast<double>(repeat_prepare(this, prepare_calls)) /
                        static_cast<double>(prepare_calls));
    }
    prepare_median_ns = median(times);
}

double CellBench::repeat() {
    // The cell before this one left its own weights in the caches.
    if (cell.cache == CacheMode::Hot) repeat_product(this, 1);
    const double ns = static_cast<double>(repeat_product(this, calls)) / static_cast<double>(calls);
    if (reader != nullptr) read_gb_per_s.push_back(reader->read());
    return ns;
}

tb_work CellBench::work() const {
    tb_work w{};
    cell.kernel().work(&cell.shape, &cell.tile(), cell.batch, &w);
    return w;
}

uint64_t CellBench::footprint() const {
    const tb_work w = work();
    return copies_.total_bytes() +
           static_cast<uint64_t>(w.activation_bytes + w.table_bytes + w.output_bytes);
}

void CellBench::prepare() {
    prepared_.prepare(pool_, cell.kernel(), cell.tile(), cell.shape, x_.x.data(), x_.m, x_.k);
}

// The timed loop: products only, between two clock reads.
int64_t CellBench::repeat_product(void* context, int64_t calls) {
    auto& b = *static_cast<CellBench*>(context);
    const tb_kernel& kernel = b.cell.kernel();
    const PackedWeights* copies = b.copies_.views();
    const size_t count = b.copies_.count();
    size_t next = b.copies_.next;
    float* y = b.y_.as<float>();
    const int64_t begin = now_ns();
    for (int64_t i = 0; i < calls; ++i) {
        // The copies are shared: their tile may be that of another kernel of the layout.
        multiply(b.pool_, kernel, copies[next], b.prepared_, b.scratch_, y, b.cell.shape.n,
                 &b.cell.tile());
        if (++next == count) next = 0;
    }
    const int64_t end = now_ns();
    b.copies_.next = next;
    return end - begin;
}

int64_t CellBench::repeat_prepare(void* context, int64_t calls) {
    auto& b = *static_cast<CellBench*>(context);
    const int64_t begin = now_ns();
    for (int64_t i = 0; i < calls; ++i) b.prepare();
    return now_ns() - begin;
}

}  // namespace tritbench
