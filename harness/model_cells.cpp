#include "harness/model_cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "harness/aa_control.h"
#include "harness/decode_ceiling.h"
#include "harness/loaded_models.h"
#include "harness/measure.h"
#include "harness/model_row.h"
#include "harness/model_run.h"
#include "harness/pins.h"

namespace tritbench {
namespace {

// One cell: a phase of a plan's run.
struct ModelBench {
    const Cell* cell = nullptr;
    size_t position = 0;
    ModelRun* run = nullptr;
    WeightReader* reader = nullptr;  // of decode
    ProofResult proved;
    RepetitionEnd end;  // what every repetition must end with
    ModelMeasurement measured;
    Ending ending;
    bool dropped = false;
};

// All members with the same threads on the same CPUs.
class ThreadsPass {
  public:
    ThreadsPass(const std::vector<Cell>& cells, const Members& members, const LoadedModels& models,
                const MeasureOptions& options, ChildReporter& reporter)
        : options_(options),
          reporter_(reporter),
          pool_(cells[members.front()].threads,
                pins_here(cells[members.front()].threads, cells[members.front()].pins)),
          readers_(pool_) {
        for (const size_t position : members) add(cells, members, position, models);
    }

    void run() {
        const int64_t started = now_ns();
        for (auto& bench : benches_) prove(bench, "before timing: ");
        drop_failed();
        reporter_.begin(-1, 300);
        measure_peaks();
        for (auto& bench : benches_) warm_up(bench);
        make_readers();
        drop_failed();
        if (benches_.empty()) return;
        const NoiseWatch noise;
        // After the rounds: proofs and ceilings once more, and two repetitions for the timeline.
        measure(static_cast<double>(now_ns() - started) / 1e9);
        const std::set<std::string> marks = noise.marks();
        drop_failed();
        for (auto& bench : benches_) trace(bench);
        drop_failed();
        for (auto& bench : benches_) prove(bench, "after timing: ");
        drop_failed();
        reporter_.begin(-1, 300);
        ceilings_.second_round();
        measure_peaks();
        for (auto& bench : benches_) send(bench, marks);
    }

  private:
    void add(const std::vector<Cell>& cells, const Members& members, size_t position,
             const LoadedModels& models) {
        const Cell& cell = cells[position];
        const LoadedModel& loaded = models.at(loaded_weights_key(cell));
        begin(cell, position, 1);
        const std::string weights = loaded_weights_key(cell);
        auto& run = runs_[weights + session_key(cell)];
        if (!run) {
            SessionSize size;
            for (const size_t other : members) {
                if (loaded_weights_key(cells[other]) == weights &&
                    session_key(cells[other]) == session_key(cell)) {
                    include(size, cells[other]);
                }
            }
            run = std::make_unique<ModelRun>(loaded.model, cell.plan, pool_, size, options_.seed);
        }
        ModelBench bench;
        bench.cell = &cell;
        bench.position = position;
        bench.run = run.get();
        bench.measured.load_ms = loaded.load_ms;
        bench.measured.layer_factor = run->layer_factor();
        if (cell.phase == Phase::Decode) bench.measured.bytes_per_step = run->bytes_per_step(cell);
        benches_.push_back(std::move(bench));
    }

    void begin(const Cell& cell, size_t position, double calls) {
        const double steps = cell.phase == Phase::Decode ? static_cast<double>(cell.generated) : 1;
        // Reaching the depth is a prefill of its own.
        const double deep = static_cast<double>(cell.depth + cell.tokens()) /
                            static_cast<double>(std::max<int64_t>(1, cell.tokens()));
        reporter_.begin(static_cast<int>(position),
                        step_budget_s(cell, options_, calls * steps * deep));
    }

    void fail(ModelBench& bench, const std::string& reason) {
        send_row(reporter_, bench.position, failed_row(reason));
        bench.dropped = true;
    }

    void drop_failed() {
        std::erase_if(benches_, [](const ModelBench& bench) { return bench.dropped; });
    }

    void prove(ModelBench& bench, const std::string& when) {
        for (const int64_t m : timed_batches(*bench.cell)) {
            begin(*bench.cell, bench.position, 20);
            bench.proved = bench.run->prove(m, [&] { reporter_.alive(); });
            if (!bench.proved.ok()) break;
        }
        reporter_.advance(repetition_weight(*bench.cell));
        if (!bench.proved.ok()) fail(bench, when + bench.proved.reason);
    }

    // One untimed repetition, whose logits every timed one must repeat.
    void warm_up(ModelBench& bench) {
        begin(*bench.cell, bench.position, 3);
        bench.end = bench.run->repeat(*bench.cell);
        std::string problem = bench.end.problem;
        if (problem.empty() && bench.cell->sequences > 1) {
            begin(*bench.cell, bench.position, 3);
            problem = bench.run->prove_sequences(*bench.cell, [&] { reporter_.alive(); });
        }
        if (!problem.empty()) fail(bench, "before timing: " + problem);
    }

    // Runs the cell once more and says what is wrong with how it ended; empty: nothing.
    std::string repeat(ModelBench& bench, const RepetitionTimes& to) {
        begin(*bench.cell, bench.position, 3);
        const RepetitionEnd end = bench.run->repeat(*bench.cell, to);
        if (!end.problem.empty() || end.all_hash == bench.end.all_hash) return end.problem;
        return fmt::format("the logits changed from {} to {} between repetitions",
                           hex16(bench.end.all_hash), hex16(end.all_hash));
    }

    void make_readers() {
        for (ModelBench& bench : benches_) {
            if (bench.cell->phase != Phase::Decode) continue;
            bench.reader =
                &readers_.reader(bench.run->model(), static_cast<uint64_t>(bench.cell->generated),
                                 bench.measured.bytes_per_step);
            reporter_.alive();
        }
    }

    // What the rounds look at: the time of a repetition, of decode the median of its steps.
    std::optional<double> timed_repetition(ModelBench& bench) {
        std::vector<double>& samples = bench.measured.samples_ns;
        const size_t before = samples.size();
        auto* first = bench.cell->prompt > 0 ? &bench.measured.first_token_ns : nullptr;
        const std::string problem = repeat(bench, {&samples, first, nullptr});
        if (!problem.empty()) {
            fail(bench, "while timing: " + problem);
            return std::nullopt;
        }
        if (bench.reader != nullptr) read_beside(bench.measured, before, *bench.reader);
        return median({samples.begin() + static_cast<ptrdiff_t>(before), samples.end()});
    }

    void measure(double after_s) {
        std::vector<int> repetitions;
        std::vector<const Cell*> cells;
        for (const auto& bench : benches_) {
            repetitions.push_back(bench.cell->repetitions);
            cells.push_back(bench.cell);
        }
        const size_t controlled = control_cell(cells), twin = benches_.size();
        ModelBench control = benches_[controlled];
        if (options_.control) repetitions.push_back(control.cell->repetitions);
        Stopping stopping(repetitions, stopping_rules(options_, after_s));
        std::optional<ControlItems> items;
        if (options_.control) {
            items = {controlled, twin, cell_label(*control.cell)};
            stopping.control(controlled, twin);
        }
        run_rounds(stopping, options_.seed, now_ns, [&](size_t i, int round) {
            const auto sample = timed_repetition(i == twin ? control : benches_[i]);
            if (i != twin && round < repetitions[i]) {
                reporter_.advance(repetition_weight(*benches_[i].cell));
            }
            return sample;
        });
        for (size_t i = 0; i < benches_.size(); ++i) {
            benches_[i].ending = ending_of(stopping, i, items);
        }
    }

    // The timeline, from a repetition of its own: reading the clock at every role takes time.
    void trace(ModelBench& bench) {
        Timeline timeline(now_ns);
        const std::string problem = repeat(bench, {nullptr, nullptr, &timeline});
        if (!problem.empty()) return fail(bench, "in the timeline: " + problem);
        bench.measured.roles = with_all_layers(
            timeline.median_sample(tokens_per_sample(*bench.cell)), bench.measured.layer_factor);
        count_skipped(bench);
    }

    // From one more repetition: counting zeros takes time.
    void count_skipped(ModelBench& bench) {
        const auto& uses = bench.cell->kernels;
        const bool skips = std::any_of(uses.begin(), uses.end(), [](const KernelUse& use) {
            return use.timed_weights > 0 && use.kernel->skips_zeros != 0;
        });
        if (!skips || bench.cell->phase != Phase::Decode) return;
        SkippedWeights skipped;
        const std::string problem = repeat(bench, {nullptr, nullptr, nullptr, &skipped});
        if (!problem.empty()) return fail(bench, "while counting zeros: " + problem);
        bench.measured.skipped_bytes = bench.measured.layer_factor * skipped.bytes() /
                                       static_cast<double>(bench.cell->generated);
    }

    void measure_peaks() {
        std::set<const tb_kernel*> kernels;
        for (const auto& bench : benches_) {
            if (bench.cell->phase == Phase::Prefill) kernels.insert(&bench.cell->kernel());
        }
        if (!kernels.empty()) ceilings_.measure_peaks(pool_, kernels, false);
    }

    void send(const ModelBench& bench, std::set<std::string> marks) {
        const Cell& cell = *bench.cell;
        const double median_ns = median(bench.measured.samples_ns);
        Row row;
        set_model_times(row, cell, bench.measured, marks, bench.ending.confidence);
        row.set(Column::Pins, pins_text(pool_));
        row.set(Column::Warmups, 1);
        set_ending(row, bench.ending);
        if (cell.phase == Phase::Decode) {
            row.set(Column::FootprintBytes, bench.measured.bytes_per_step);
            set_decode_ceiling(row, bench.measured, *bench.reader, marks);
            if (resident_bytes(bench.run->model()) < last_level_cache_bytes())
                marks.insert("fits_in_llc");
        } else {
            row.set(Column::FootprintBytes,
                    bench.run->model().linear_bytes() + bench.run->model().head_bytes());
        }
        if (cell.phase == Phase::Prefill) {
            ceilings_.set_peaks(row, pool_, cell.kernel(), cell.work_macs / median_ns, false);
            set_product_peak(row);
        }
        if (share_a_core(topology_here(), pool_.pins())) marks.insert("pins_share_core");
        row.set(Column::PeakRssBytes, peak_rss_bytes());
        // With fewer layers they are those of another model.
        if (bench.measured.layer_factor == 1) {
            row.set(Column::LogitsHash, hex16(bench.end.hash));
        }
        row.set(Column::Verified, proof_name(bench.proved.proof));
        row.set(Column::Status, "ok");
        set_marks(row, marks);
        send_row(reporter_, bench.position, row, bench.measured.samples_ns);
    }

    const MeasureOptions& options_;
    ChildReporter& reporter_;
    ThreadPool pool_;
    std::map<std::string, std::unique_ptr<ModelRun>> runs_;
    DecodeReaders readers_;
    std::vector<ModelBench> benches_;
    BlockCeilings ceilings_;
};

}  // namespace

void measure_model_block(const std::vector<Cell>& cells, const Members& members,
                         const MeasureOptions& options, ChildReporter& reporter) {
    const LoadedModels models = load_models(cells, members, reporter);
    std::map<std::pair<int, std::string>, Members> by_threads;
    for (const size_t position : members) {
        by_threads[{cells[position].threads, cells[position].pins}].push_back(position);
    }
    // What is left of the time goes to the passes by their cells.
    size_t left = members.size();
    for (const auto& [threads, part] : by_threads) {
        MeasureOptions of_pass = options;
        if (options.deadline_ns > 0) {
            const auto left_ns = static_cast<double>(options.deadline_ns - now_ns());
            of_pass.deadline_ns =
                now_ns() + static_cast<int64_t>(left_ns * static_cast<double>(part.size()) /
                                                static_cast<double>(left));
        }
        ThreadsPass(cells, part, models, of_pass, reporter).run();
        left -= part.size();
    }
}

}  // namespace tritbench
