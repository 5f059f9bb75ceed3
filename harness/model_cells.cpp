#include "harness/model_cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "dummy_models/presets.h"
#include "harness/measure.h"
#include "harness/model_run.h"
#include "harness/statistics.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench {
namespace {

using Models = std::map<std::string, std::shared_ptr<const Model>>;

// One cell: a phase of a kernel's run.
struct ModelBench {
    const Cell* cell = nullptr;
    size_t position = 0;
    ModelRun* run = nullptr;
    ProofResult proved;
    uint64_t hash = 0;
    std::vector<double> samples;
    bool dropped = false;
};

// All members with one number of threads.
class ThreadsPass {
  public:
    ThreadsPass(const std::vector<Cell>& cells, const Members& members, const Models& models,
                const MeasureOptions& options, ChildReporter& reporter)
        : options_(options), reporter_(reporter), pool_(cells[members.front()].threads) {
        for (const size_t position : members) add(cells, members, position, models);
    }

    void run() {
        for (auto& bench : benches_) prove(bench, "before timing: ");
        drop_failed();
        reporter_.begin(-1, 300);
        measure_ceilings();
        for (auto& bench : benches_) warm_up(bench);
        drop_failed();
        const NoiseWatch noise;
        measure();
        const std::set<std::string> marks = noise.marks();
        drop_failed();
        for (auto& bench : benches_) prove(bench, "after timing: ");
        drop_failed();
        reporter_.begin(-1, 300);
        ceilings_.second_round();
        measure_ceilings();
        for (auto& bench : benches_) send(bench, marks);
    }

  private:
    void add(const std::vector<Cell>& cells, const Members& members, size_t position,
             const Models& models) {
        const Cell& cell = cells[position];
        begin(cell, position, 1);
        auto& run = runs_[cell.kernel];
        if (!run) {
            RunSize size;
            for (const size_t other : members) {
                if (cells[other].kernel == cell.kernel) size.include(cells[other]);
            }
            run = std::make_unique<ModelRun>(models.at(cell.kernel->layout), *cell.kernel, pool_,
                                             size, options_.seed);
        }
        ModelBench bench;
        bench.cell = &cell;
        bench.position = position;
        bench.run = run.get();
        benches_.push_back(std::move(bench));
    }

    void begin(const Cell& cell, size_t position, double calls) {
        const double per_token = cell.phase == Phase::Decode ? static_cast<double>(cell.tokens) : 1;
        // Reaching the depth is a prefill of its own.
        const double deep = static_cast<double>(cell.depth + cell.tokens) /
                            static_cast<double>(std::max<int64_t>(1, cell.tokens));
        reporter_.begin(static_cast<int>(position),
                        step_budget_s(cell, options_, calls * per_token * deep));
    }

    void fail(ModelBench& bench, const std::string& reason) {
        send_row(reporter_, bench.position, failed_row(reason));
        bench.dropped = true;
    }

    void drop_failed() {
        std::erase_if(benches_, [](const ModelBench& bench) { return bench.dropped; });
    }

    void prove(ModelBench& bench, const std::string& when) {
        begin(*bench.cell, bench.position, 20);
        const int64_t m =
            bench.cell->phase == Phase::Decode ? 1 : std::min(bench.cell->tokens, kPrefillBatch);
        bench.proved = bench.run->prove(m, [&] { reporter_.alive(); });
        reporter_.advance(repetition_weight(*bench.cell));
        if (!bench.proved.ok()) fail(bench, when + bench.proved.reason);
    }

    // One untimed repetition, whose logits every timed one must repeat.
    void warm_up(ModelBench& bench) {
        begin(*bench.cell, bench.position, 3);
        std::string problem;
        bench.hash = bench.run->repeat(*bench.cell, nullptr, &problem);
        if (!problem.empty()) fail(bench, "before timing: " + problem);
    }

    void measure() {
        std::vector<int> repetitions;
        for (auto& bench : benches_) repetitions.push_back(bench.cell->repetitions);
        interleave(repetitions, options_.seed, [&](size_t i, int) {
            ModelBench& bench = benches_[i];
            begin(*bench.cell, bench.position, 3);
            std::string problem;
            const uint64_t hash = bench.run->repeat(*bench.cell, &bench.samples, &problem);
            reporter_.advance(repetition_weight(*bench.cell));
            if (problem.empty() && hash != bench.hash) {
                problem = fmt::format("the logits changed from {} to {} between repetitions",
                                      hex16(bench.hash), hex16(hash));
            }
            if (!problem.empty()) fail(bench, "while timing: " + problem);
            return problem.empty();
        });
    }

    static AllocationKind kind(const ModelBench& bench) {
        return bench.run->model().packed_bytes_owned() == 0 ? AllocationKind::MappedFile
                                                            : AllocationKind::HugePages;
    }

    void measure_ceilings() {
        for (const auto& bench : benches_) {
            if (bench.cell->phase != Phase::Decode) continue;
            ceilings_.measure(pool_, bench.run->bytes_per_token(*bench.cell), kind(bench));
            reporter_.alive();
        }
    }

    void send(const ModelBench& bench, std::set<std::string> marks) {
        const Cell& cell = *bench.cell;
        const bool decode = cell.phase == Phase::Decode;
        Row row;
        set_times(row, bench.samples, marks);
        const double median_ns = median(bench.samples);
        const double tokens = decode ? 1 : static_cast<double>(cell.tokens);
        row.set(Column::Pins, pins_text(pool_));
        row.set(Column::Warmups, 1);
        row.set(Column::Repetitions, cell.repetitions);
        row.set(Column::CallsPerRepetition, decode ? cell.tokens : 1);
        row.set(Column::TokensPerS, tokens * 1e9 / median_ns, 3);
        row.set(Column::GmacPerS, cell.work_macs / median_ns, 3);
        const uint64_t footprint = bench.run->bytes_per_token(cell);
        row.set(Column::FootprintBytes, footprint);
        if (decode) {
            const auto bytes = static_cast<double>(footprint);
            row.set(Column::Bytes, footprint);
            row.set(Column::GbPerS, bytes / median_ns, 3);
            ceilings_.set(row, pool_, footprint, kind(bench), bytes, median_ns, marks);
            if (footprint < last_level_cache_bytes()) marks.insert("fits_in_llc");
        }
        row.set(Column::PeakRssBytes, peak_rss_bytes());
        row.set(Column::LogitsHash, hex16(bench.hash));
        row.set(Column::Verified, proof_name(bench.proved.proof));
        row.set(Column::Status, "ok");
        set_marks(row, marks);
        send_row(reporter_, bench.position, row, bench.samples);
    }

    const MeasureOptions& options_;
    ChildReporter& reporter_;
    ThreadPool pool_;
    std::map<const tb_kernel*, std::unique_ptr<ModelRun>> runs_;
    std::vector<ModelBench> benches_;
    BlockCeilings ceilings_;
};

// Loads the model once per layout, with all CPUs.
Models load_layouts(const std::vector<Cell>& cells, const Members& members,
                    ChildReporter& reporter) {
    ThreadPool pool(static_cast<int>(allowed_cpus().size()));
    const auto file = std::make_shared<const GgufFile>(cells[members.front()].model);
    Models models;
    for (const size_t position : members) {
        const tb_kernel& kernel = *cells[position].kernel;
        auto& model = models[kernel.layout];
        if (model) continue;
        reporter.begin_loading(static_cast<int>(position), 300);
        model = Model::load(
            file, kernel, pool, [&](uint64_t, uint64_t) { reporter.alive(); },
            cells[position].load);
    }
    return models;
}

}  // namespace

uint64_t packed_model_bytes(const ModelConfig& config, const tb_kernel& kernel) {
    const tb_tile tile = default_tile(kernel);
    uint64_t sum = 0;
    for (const LinearShape& layer : linear_shapes(config)) {
        const tb_shape shape{layer.n, layer.k};
        sum += kernel.packed_size(&shape, &tile);
    }
    return sum * static_cast<uint64_t>(config.layers);
}

void measure_model_block(const std::vector<Cell>& cells, const Members& members,
                         const MeasureOptions& options, ChildReporter& reporter) {
    const Models models = load_layouts(cells, members, reporter);
    std::map<int, Members> by_threads;
    for (const size_t position : members) by_threads[cells[position].threads].push_back(position);
    for (const auto& [threads, part] : by_threads) {
        ThreadsPass(cells, part, models, options, reporter).run();
    }
}

}  // namespace tritbench
