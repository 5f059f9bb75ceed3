#include "harness/kernel_cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "harness/aa_control.h"
#include "harness/cell_bench.h"
#include "harness/measure.h"
#include "harness/pins.h"
#include "kernels/api/registry.h"

namespace tritbench {
namespace {

// Of what `work` takes.
template <class Work>
double seconds_of(Work&& work) {
    const int64_t begin = now_ns();
    work();
    return static_cast<double>(now_ns() - begin) / 1e9;
}

size_t packed_size(const Cell& cell) {
    return cell.kernel().packed_size(&cell.shape, &cell.tile());
}

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
        if (benches_.empty()) return;
        if (options_.control) add_control();
        reporter_.begin(-1, 300);
        after_s_ += seconds_of([&] { measure_ceilings(); });
        NoiseWatch noise;
        for_all([&](CellBench& bench) {
            begin(bench, 50);
            bench.warm_up();
        });
        measure();
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
        auto bench = proved_bench(position, *copies);
        reporter_.advance(repetition_weight(cell));
        if (!bench) return;
        if (first_.phase == Phase::Gemv && first_.cache == CacheMode::Cold) {
            bench->reader = &reader_of(weight_copies_key(cell), *copies);
        }
        benches_.push_back(std::move(bench));
    }

    // Null after a row that says what is wrong.
    std::unique_ptr<CellBench> proved_bench(size_t position, WeightCopies& copies) {
        auto bench = std::make_unique<CellBench>(pool_, cells_[position], position, copies, rows_,
                                                 x_, options_.seed + 2);
        after_s_ += seconds_of([&] { bench->proved = bench->prove([&] { reporter_.alive(); }); });
        if (bench->proved.ok()) return bench;
        send_row(reporter_, position, failed_row("before timing: " + bench->proved.reason));
        return nullptr;
    }

    // One cell once more: its own buffers and, where cold, its own copies and their reader.
    void add_control() {
        std::vector<const Cell*> measured;
        for (const auto& bench : benches_) measured.push_back(&bench->cell);
        controlled_ = control_cell(measured);
        const CellBench& bench = *benches_[controlled_];
        const Cell& cell = bench.cell;
        WeightCopies* copies = &bench.copies();
        reporter_.begin_loading(static_cast<int>(bench.position),
                                60 + step_budget_s(cell, options_, 50));
        if (copies->count() > 1) {
            control_copies_ =
                std::make_unique<WeightCopies>(pool_, cell.kernel(), cell.tile(), cell.shape, rows_,
                                               copies->count(), largest_overread(cell));
            copies = control_copies_.get();
        }
        control_ = proved_bench(bench.position, *copies);
        if (control_ == nullptr || bench.reader == nullptr) return;
        const bool own = control_copies_ != nullptr;
        control_->reader = &reader_of(own ? "control" : weight_copies_key(cell), *copies);
    }

    // All cells, then the control.
    template <class Do>
    void for_all(Do&& act) {
        for (auto& bench : benches_) act(*bench);
        if (control_) act(*control_);
    }

    void measure() {
        std::vector<CellBench*> items;
        std::vector<int> repetitions;
        for_all([&](CellBench& bench) {
            items.push_back(&bench);
            repetitions.push_back(bench.cell.repetitions);
        });
        Stopping stopping(repetitions, stopping_rules(options_, after_s_));
        const size_t twin = benches_.size();
        if (control_) stopping.control(controlled_, twin);
        run_rounds(stopping, options_.seed, now_ns, [&](size_t i, int round) {
            begin(*items[i], static_cast<double>(items[i]->calls));
            const double ns = items[i]->repeat();
            if (i != twin && round < items[i]->cell.repetitions) {
                reporter_.advance(repetition_weight(items[i]->cell));
            }
            return std::optional(ns);
        });
        std::optional<ControlItems> control;
        if (control_) control = {controlled_, twin, cell_label(control_->cell)};
        for (size_t i = 0; i < benches_.size(); ++i) {
            benches_[i]->samples = stopping.samples(i);
            benches_[i]->ending = ending_of(stopping, i, control);
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
        for_all([&](CellBench& bench) {
            begin(bench, 50);
            const WeightCopies& copies = bench.copies();
            ProofResult after = bench.prove([&] { reporter_.alive(); });
            if (!intact.contains(&copies)) intact[&copies] = copies.intact(pool_);
            if (after.ok() && !intact[&copies]) {
                after = {Proof::No, "a kernel of this layout wrote into the packed weights"};
            }
            if (&bench != control_.get()) reporter_.advance(repetition_weight(bench.cell));
            if (after.ok()) return;
            send_row(reporter_, bench.position, failed_row("after timing: " + after.reason));
            bench.dropped = true;
        });
        std::erase_if(benches_, [](const auto& bench) { return bench->dropped; });
    }

    // Every layout, and the control, gets an equal part of half the memory.
    size_t copy_count(const Cell& cell) const {
        std::set<std::string> layouts;
        for (const size_t position : members_) layouts.insert(weight_copies_key(cells_[position]));
        const uint64_t bytes = packed_size(cell);
        const uint64_t wanted =
            (weight_copies_bytes(cell, last_level_cache_bytes()) + bytes - 1) / bytes;
        const uint64_t parts = layouts.size() + (options_.control ? 1 : 0);
        const uint64_t limit = half_memory_ / parts / (bytes + 4096);
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
        set_times(row, bench.samples, marks, bench.ending.confidence);
        set_ending(row, bench.ending);
        const double median_ns = median(bench.samples);
        row.set(Column::Pins, pins_text(pool_));
        row.set(Column::Warmups, bench.warmups);
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
    std::map<std::string, std::unique_ptr<CopyTurns>> turns_;  // by the same keys
    std::map<std::string, std::unique_ptr<WeightReader>> readers_;
    std::vector<std::unique_ptr<CellBench>> benches_;
    size_t controlled_ = 0;  // of benches_, that which is measured twice
    std::unique_ptr<WeightCopies> control_copies_;
    std::unique_ptr<CellBench> control_;
    double after_s_ = 0;  // that proofs and ceilings took, as they will again after the rounds
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
