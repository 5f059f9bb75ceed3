#include "harness/kernel_cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "harness/measure.h"
#include "harness/pins.h"
#include "harness/statistics.h"
#include "harness/weight_copies.h"
#include "harness/weight_reader.h"
#include "kernels/api/registry.h"
#include "model/bitlinear.h"

namespace tritbench {
namespace {

constexpr int64_t kShortestPrepareNs = 200'000;
constexpr int kPrepareRepetitions = 11;
constexpr int64_t kCopyProofNs = 500'000'000;

size_t packed_size(const Cell& cell) {
    return cell.kernel().packed_size(&cell.shape, &cell.tile());
}

// One cell of a block, with everything that its timed loop touches.
class CellBench {
  public:
    CellBench(ThreadPool& pool, const Cell& measured, size_t its_position, WeightCopies& copies,
              const RowProvider& rows, const TestActivations& x, uint64_t seed)
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

    // Proves the copy next in turn, the last one, and as many others as fit a short time; the
    // rest hold the same bytes, which WeightCopies::intact tells.
    ProofResult prove(ChildReporter& reporter) const {
        const int64_t begin = now_ns();
        ProofResult result;
        for (size_t i = 0; i < copies_.count(); ++i) {
            const size_t which =
                i == 1 ? copies_.count() - 1 : (copies_.next + i) % copies_.count();
            result = proof_.check(pool_, copies_.views()[which], prepared_, x_, scratch_);
            reporter.alive();
            if (!result.ok() || (i >= 1 && now_ns() - begin > kCopyProofNs)) break;
        }
        return result;
    }

    void warm_up() {
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

    void measure_once() {
        // The cell before this one left its own weights in the caches.
        if (cell.cache == CacheMode::Hot) repeat_product(this, 1);
        samples.push_back(static_cast<double>(repeat_product(this, calls)) /
                          static_cast<double>(calls));
        if (reader != nullptr) read_gb_per_s.push_back(reader->read());
    }

    tb_work work() const {
        tb_work w{};
        cell.kernel().work(&cell.shape, &cell.tile(), cell.batch, &w);
        return w;
    }

    uint64_t footprint() const {
        const tb_work w = work();
        return copies_.total_bytes() +
               static_cast<uint64_t>(w.activation_bytes + w.table_bytes + w.output_bytes);
    }

    const Cell& cell;
    const size_t position;
    int64_t calls = 1;
    int warmups = 0;
    double prepare_median_ns = 0;
    std::vector<double> samples;
    WeightReader* reader = nullptr;     // of a cold gemv
    std::vector<double> read_gb_per_s;  // one beside every sample
    ProofResult proved;
    bool dropped = false;

  private:
    void prepare() {
        prepared_.prepare(pool_, cell.kernel(), cell.tile(), cell.shape, x_.x.data(), x_.m, x_.k);
    }

    // The timed loop: products only, between two clock reads.
    static int64_t repeat_product(void* context, int64_t calls) {
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

    static int64_t repeat_prepare(void* context, int64_t calls) {
        auto& b = *static_cast<CellBench*>(context);
        const int64_t begin = now_ns();
        for (int64_t i = 0; i < calls; ++i) b.prepare();
        return now_ns() - begin;
    }

    ThreadPool& pool_;
    WeightCopies& copies_;
    const TestActivations& x_;
    CellProof proof_;
    PreparedBatch prepared_;
    mutable ProductScratch scratch_;
    AlignedBuffer y_;
};

class KernelBlock {
  public:
    KernelBlock(const std::vector<Cell>& cells, const Members& members,
                const MeasureOptions& options, ChildReporter& reporter)
        : cells_(cells),
          members_(members),
          options_(options),
          reporter_(reporter),
          first_(cells[members.front()]),
          pool_(first_.threads, pins_here(first_.threads, first_.pins)),
          rows_(random_ternary_rows(first_.shape, options.seed)),
          x_(random_activations(first_.batch, first_.shape.k, options.seed + 1, first_.zeros)) {}

    void run() {
        for (const size_t position : members_) set_up(position);
        reporter_.begin(-1, 300);
        measure_ceilings();
        NoiseWatch noise;
        for (auto& bench : benches_) {
            begin(*bench, 50);
            bench->warm_up();
        }
        std::vector<int> repetitions;
        for (const auto& bench : benches_) repetitions.push_back(bench->cell.repetitions);
        interleave(repetitions, options_.seed, [&](size_t i, int) {
            begin(*benches_[i], static_cast<double>(benches_[i]->calls));
            benches_[i]->measure_once();
            reporter_.advance(repetition_weight(benches_[i]->cell));
            return true;
        });
        const std::set<std::string> marks = noise.marks();
        prove_again();
        reporter_.begin(-1, 300);
        ceilings_.second_round();
        measure_ceilings();
        for (const auto& bench : benches_) send(*bench, marks);
    }

  private:
    void begin(const CellBench& bench, double calls) {
        reporter_.begin(static_cast<int>(bench.position),
                        step_budget_s(bench.cell, options_, calls));
    }

    // Packs, copies, prepares and proves; a cell that fails is reported and left out.
    void set_up(size_t position) {
        const Cell& cell = cells_[position];
        reporter_.begin_loading(static_cast<int>(position), 60 + step_budget_s(cell, options_, 50));
        auto& copies = copies_[weight_copies_key(cell)];
        if (!copies) {
            copies =
                std::make_unique<WeightCopies>(pool_, cell.kernel(), cell.tile(), cell.shape, rows_,
                                               copy_count(cell), largest_overread(cell));
        }
        auto bench = std::make_unique<CellBench>(pool_, cell, position, *copies, rows_, x_,
                                                 options_.seed + 2);
        bench->proved = bench->prove(reporter_);
        reporter_.advance(repetition_weight(cell));
        if (bench->proved.ok()) {
            if (first_.phase == Phase::Gemv && first_.cache == CacheMode::Cold) {
                bench->reader = &reader_of(weight_copies_key(cell), *copies);
            }
            benches_.push_back(std::move(bench));
        } else {
            send_row(reporter_, position, failed_row("before timing: " + bench->proved.reason));
        }
    }

    WeightReader& reader_of(const std::string& key, WeightCopies& copies) {
        auto& turns = turns_[key];
        auto& reader = readers_[key];
        if (!turns) turns = std::make_unique<CopyTurns>(copies);
        if (!reader) reader = std::make_unique<WeightReader>(pool_, *turns);
        return *reader;
    }

    void prove_again() {
        std::map<const void*, bool> intact;
        for (auto& bench : benches_) {
            begin(*bench, 50);
            WeightCopies& copies = *copies_[weight_copies_key(bench->cell)];
            ProofResult after = bench->prove(reporter_);
            if (!intact.contains(&copies)) {
                intact[&copies] = copies.intact(pool_);
            }
            if (after.ok() && !intact[&copies]) {
                after = {Proof::No, "a kernel of this layout wrote into the packed weights"};
            }
            reporter_.advance(repetition_weight(bench->cell));
            if (after.ok()) continue;
            send_row(reporter_, bench->position, failed_row("after timing: " + after.reason));
            bench->dropped = true;
        }
        std::erase_if(benches_, [](const auto& bench) { return bench->dropped; });
    }

    // Every layout gets an equal part of half the memory.
    size_t copy_count(const Cell& cell) const {
        std::set<std::string> layouts;
        for (const size_t position : members_) layouts.insert(weight_copies_key(cells_[position]));
        const uint64_t bytes = packed_size(cell);
        const uint64_t wanted =
            (weight_copies_bytes(cell, last_level_cache_bytes()) + bytes - 1) / bytes;
        const uint64_t limit = half_memory_ / layouts.size() / (bytes + 4096);
        return static_cast<size_t>(std::clamp<uint64_t>(wanted, 1, std::max<uint64_t>(1, limit)));
    }

    size_t largest_overread(const Cell& cell) const {
        int32_t largest = 0;
        for (const size_t position : members_) {
            if (weight_copies_key(cells_[position]) != weight_copies_key(cell)) continue;
            largest = std::max(largest, cells_[position].kernel().packed_overread);
        }
        return static_cast<size_t>(largest);
    }

    void measure_ceilings() {
        std::set<const tb_kernel*> kernels;
        for (const auto& bench : benches_) kernels.insert(&bench->cell.kernel());
        ceilings_.measure_peaks(pool_, kernels);
        if (first_.phase != Phase::Gemv) return;
        for (const auto& bench : benches_) {
            if (bench->reader != nullptr) continue;
            ceilings_.measure(pool_, bench->footprint(), AllocationKind::HugePages);
        }
    }

    void send(const CellBench& bench, std::set<std::string> marks) {
        const tb_work work = bench.work();
        const double bytes =
            work.weight_bytes + work.activation_bytes + work.table_bytes + work.output_bytes;
        Row row;
        set_times(row, bench.samples, marks);
        const double median_ns = median(bench.samples);
        row.set(Column::Pins, pins_text(pool_));
        row.set(Column::Warmups, bench.warmups);
        row.set(Column::Repetitions, bench.cell.repetitions);
        row.set(Column::CallsPerRepetition, bench.calls);
        row.set(Column::PrepareMedianNs, bench.prepare_median_ns, 1);
        row.set(Column::GmacPerS, work.macs / median_ns, 3);
        ceilings_.set_peaks(row, pool_, bench.cell.kernel(), work.macs / median_ns,
                            first_.phase == Phase::Gemv);
        row.set(Column::Bytes, bytes, 0);
        row.set(Column::FootprintBytes, bench.footprint());
        row.set(Column::GbPerS, bytes / median_ns, 3);
        if (bench.reader != nullptr) {
            std::vector<double> rates;
            for (const double ns : bench.samples) rates.push_back(bytes / ns);
            set_paired_ceiling(row, rates, bench.read_gb_per_s, bench.reader->loop(), marks);
        } else if (first_.phase == Phase::Gemv) {
            ceilings_.set(row, pool_, bench.footprint(), AllocationKind::HugePages, bytes,
                          median_ns, marks);
        }
        if (first_.cache == CacheMode::Cold) {
            const uint64_t llc = last_level_cache_bytes();
            if (bench.footprint() < kLeastColdFactor * llc) marks.insert("cold_capped");
            if (bench.footprint() < llc) marks.insert("fits_in_llc");
        }
        if (share_a_core(topology_here(), pool_.pins())) marks.insert("pins_share_core");
        // Of a kernel that skips zeros, which need not read all of its bytes, it says nothing.
        if (first_.zeros > 0) marks.erase("above_ceiling");
        row.set(Column::PeakRssBytes, peak_rss_bytes());
        row.set(Column::Verified, proof_name(bench.proved.proof));
        row.set(Column::Status, "ok");
        set_marks(row, marks);
        send_row(reporter_, bench.position, row, bench.samples);
    }

    const std::vector<Cell>& cells_;
    const Members& members_;
    const MeasureOptions& options_;
    ChildReporter& reporter_;
    const Cell& first_;
    const uint64_t half_memory_ = available_memory_bytes() / 2;
    ThreadPool pool_;
    RowProvider rows_;
    TestActivations x_;
    std::map<std::string, std::unique_ptr<WeightCopies>> copies_;
    std::map<std::string, std::unique_ptr<CopyTurns>> turns_;       // by the same keys
    std::map<std::string, std::unique_ptr<WeightReader>> readers_;  // by the same keys
    std::vector<std::unique_ptr<CellBench>> benches_;
    BlockCeilings ceilings_;
};

}  // namespace

uint64_t weight_copies_bytes(const Cell& cell, uint64_t last_level_cache) {
    const uint64_t bytes = packed_size(cell);
    if (cell.cache == CacheMode::Hot) return bytes;
    return std::max(bytes, kColdFactor * last_level_cache);
}

std::string kernel_block_key(const Cell& cell) {
    return fmt::format("{}x{} {} {} {} {} {}", cell.shape.n, cell.shape.k, cell.batch, cell.zeros,
                       cell.threads, cell.pins, cache_name(cell.cache));
}

std::string weight_copies_key(const Cell& cell) {
    std::string key = cell.kernel().layout;
    for (int32_t i = 0; i < cell.kernel().tile_param_count; ++i) {
        const tb_tile_param& param = cell.kernel().tile_params[i];
        if ((param.affects & TB_TILE_AFFECTS_PACK) == 0) continue;
        key += fmt::format(" {}={}", param.name, cell.tile().value[i]);
    }
    return key;
}

void measure_kernel_block(const std::vector<Cell>& cells, const Members& members,
                          const MeasureOptions& options, ChildReporter& reporter) {
    KernelBlock(cells, members, options, reporter).run();
}

}  // namespace tritbench
