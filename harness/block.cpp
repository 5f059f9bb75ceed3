#include "harness/block.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/measure.h"

namespace tritbench {
namespace {

// Short probes: a block asks for several footprints, twice each.
CeilingOptions short_probes() {
    CeilingOptions options;
    options.probe_seconds = 0.02;
    options.tries = 2;
    return options;
}

}  // namespace

double step_budget_s(const Cell& cell, const MeasureOptions& options, double calls) {
    if (options.timeout_s > 0) return options.timeout_s;
    return 60 + 10 * calls * predicted_call_seconds(cell);
}

void send_row(ChildReporter& reporter, size_t cell, const Row& row,
              std::span<const double> samples) {
    nlohmann::json fields = nlohmann::json::object();
    for (int i = 0; i < kColumnCount; ++i) {
        const auto column = static_cast<Column>(i);
        if (!row[column].empty()) fields[std::string(column_info(column).name)] = row[column];
    }
    reporter.send({{"type", "row"},
                   {"cell", cell},
                   {"fields", std::move(fields)},
                   {"samples", std::vector<double>(samples.begin(), samples.end())}});
}

Row row_of_message(const nlohmann::json& message) {
    Row row;
    for (const auto& [name, value] : message.at("fields").items()) {
        if (const auto column = find_column(name)) row.set(*column, value.get<std::string>());
    }
    return row;
}

std::vector<double> samples_of_message(const nlohmann::json& message) {
    return message.at("samples").get<std::vector<double>>();
}

Row outcome_row(std::string_view status, std::string_view reason) {
    Row row;
    row.set(Column::Status, status);
    row.set(Column::Reason, reason);
    return row;
}

Row failed_row(const std::string& reason) {
    Row row = outcome_row("failed", reason);
    row.set(Column::Verified, proof_name(Proof::No));
    return row;
}

void set_times(Row& row, std::span<const double> samples_ns, std::set<std::string>& marks,
               double confidence) {
    const Summary summary = summarise(samples_ns, confidence);
    row.set(Column::MedianNs, summary.median, 1);
    row.set(Column::MadNs, summary.mad, 1);
    row.set(Column::MinNs, summary.min, 1);
    row.set(Column::MaxNs, *std::max_element(samples_ns.begin(), samples_ns.end()), 1);
    if (summary.ci95) {
        row.set(Column::Ci95LoNs, summary.ci95->first, 1);
        row.set(Column::Ci95HiNs, summary.ci95->second, 1);
        if (summary.ci95->second - summary.ci95->first > 0.1 * summary.median) {
            marks.insert("wide_interval");
        }
    }
}

namespace {

void set_ceiling_columns(Row& row, double ceiling_gb_per_s, const std::string& probe,
                         double percent, std::set<std::string>& marks) {
    row.set(Column::CeilingGbPerS, ceiling_gb_per_s, 2);
    row.set(Column::CeilingProbe, probe);
    row.set(Column::PctOfCeiling, percent, 1);
    if (percent > 105) marks.insert("above_ceiling");
}

}  // namespace

void set_ceiling(Row& row, double ceiling_gb_per_s, const std::string& probe, double gb_per_s,
                 std::set<std::string>& marks) {
    set_ceiling_columns(row, ceiling_gb_per_s, probe, 100 * gb_per_s / ceiling_gb_per_s, marks);
}

void set_paired_ceiling(Row& row, std::span<const double> gb_per_s,
                        std::span<const double> ceilings_gb_per_s, const std::string& probe,
                        std::set<std::string>& marks) {
    std::vector<double> percent;
    for (size_t i = 0; i < gb_per_s.size(); ++i) {
        percent.push_back(100 * gb_per_s[i] / ceilings_gb_per_s[i]);
    }
    set_ceiling_columns(row, median({ceilings_gb_per_s.begin(), ceilings_gb_per_s.end()}), probe,
                        median(std::move(percent)), marks);
}

NoiseWatch::NoiseWatch()
    : at_start_(noise_marks_now()), before_(noise_sample_now()), since_ns_(now_ns()) {}

std::set<std::string> NoiseWatch::marks() const {
    const double seconds = static_cast<double>(now_ns() - since_ns_) / 1e9;
    const auto between = marks_between(before_, noise_sample_now(), seconds);
    const auto at_end = noise_marks_now();
    std::set<std::string> all(at_start_.begin(), at_start_.end());
    all.insert(between.begin(), between.end());
    all.insert(at_end.begin(), at_end.end());
    return all;
}

BlockCeilings::BlockCeilings() {
    rounds_.emplace_back(short_probes());
}

void BlockCeilings::second_round() {
    rounds_.emplace_back(short_probes());
}

void BlockCeilings::measure(ThreadPool& pool, uint64_t footprint, AllocationKind kind) {
    rounds_.back().read(pool, footprint, kind);
}

void BlockCeilings::set(Row& row, ThreadPool& pool, uint64_t footprint, AllocationKind kind,
                        double bytes, double median_ns, std::set<std::string>& marks) {
    double best = 0;
    std::string best_probe;
    for (Ceilings& round : rounds_) {
        std::string probe;
        const double rate = round.read_gb_per_s(pool, footprint, kind, &probe);
        if (rate <= best) continue;
        best = rate;
        best_probe = probe;
    }
    set_ceiling(row, best, fmt::format("{}, {}", best_probe, allocation_text(kind)),
                bytes / median_ns, marks);
}

void BlockCeilings::measure_peaks(ThreadPool& pool, const std::set<const tb_kernel*>& kernels,
                                  bool mixes) {
    Ceilings& round = rounds_.back();
    for (const tb_kernel* kernel : kernels) {
        if (kernel->activation_kind == TB_ACT_FLOAT) {
            round.float32_fma_peaks(pool);
        } else {
            round.int8_dot_peaks(pool);
        }
    }
    if (mixes) round.mix_peaks(pool);
}

void BlockCeilings::set_peaks(Row& row, ThreadPool& pool, const tb_kernel& kernel,
                              double gmac_per_s, bool mix) {
    IsaPeak best;
    double best_mix = 0;
    for (Ceilings& round : rounds_) {
        const IsaPeak& peak = kernel.activation_kind == TB_ACT_FLOAT
                                  ? round.float32_fma_peaks(pool).front()
                                  : round.int8_dot_peaks(pool).front();
        if (peak.rate > best.rate) best = peak;
        if (mix) best_mix = std::max(best_mix, round.mix_gmac_per_s(pool, kernel.id));
    }
    row.set(Column::PeakGmacPerS, best.rate, 1);
    row.set(Column::PeakProbe, best.isa + " " + best.instruction);
    row.set(Column::PctOfPeak, 100 * gmac_per_s / best.rate, 1);
    if (best_mix > 0) {
        row.set(Column::MixGmacPerS, best_mix, 1);
        row.set(Column::PctOfMix, 100 * gmac_per_s / best_mix, 1);
    }
}

std::string pins_text(const ThreadPool& pool) {
    return fmt::format("{}", fmt::join(pool.pins(), " "));
}

void set_marks(Row& row, const std::set<std::string>& marks) {
    row.set(Column::Noise, fmt::format("{}", fmt::join(marks, " ")));
}

}  // namespace tritbench
