// What kernel cells and model cells share: options of a measurement, the marks and columns that
// follow from samples, and the message that carries a row from the child to the parent.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "harness/cell.h"
#include "harness/child.h"
#include "harness/environment.h"
#include "harness/roofline/ceilings.h"
#include "harness/schema.h"
#include "harness/statistics.h"
#include "harness/verify/proof.h"
#include "model/thread_pool.h"

namespace tritbench {

struct MeasureOptions {
    uint64_t seed = 1;
    double timeout_s = 0;  // limit of one step (a proof, a repetition); 0: from its predicted time
    double precision = 0;  // as in StoppingRules; 0: the cells' repetitions are fixed
    double budget_s = 0;   // of the whole run, once its models are there; 0: no limit
    int64_t deadline_ns = 0;  // of a block, on the clock of now_ns(); 0: none
    bool control = true;      // measure one cell of each block twice
};

// Cells that are measured together, as positions in the list of all cells.
using Members = std::vector<size_t>;

// Time limit of a step that makes `calls` calls of the cell.
double step_budget_s(const Cell& cell, const MeasureOptions& options, double calls);

// {"type": "row", "cell": position, "fields": {...}, "samples": [...]}
void send_row(ChildReporter& reporter, size_t cell, const Row& row,
              std::span<const double> samples = {});
Row row_of_message(const nlohmann::json& message);
std::vector<double> samples_of_message(const nlohmann::json& message);

// A row that says only how it ended.
Row outcome_row(std::string_view status, std::string_view reason);
// status failed, verified no.
Row failed_row(const std::string& reason);

// median_ns ... max_ns; the mark wide_interval where the 95% interval is wider
// than a tenth of the median.
void set_times(Row& row, std::span<const double> samples_ns, std::set<std::string>& marks,
               double confidence = kUsualConfidence);

// Ceiling, probe and percent; the mark above_ceiling over 105%.
void set_ceiling(Row& row, double ceiling_gb_per_s, const std::string& probe, double gb_per_s,
                 std::set<std::string>& marks);

// The same where a reading of the weights stood beside every repetition: the ceiling is the median
// of the readings, the percentage that of the ratios, which a machine that is now fast, now slow
// leaves alone.
void set_paired_ceiling(Row& row, std::span<const double> gb_per_s,
                        std::span<const double> ceilings_gb_per_s, const std::string& probe,
                        std::set<std::string>& marks);

// Environment marks now, and what happened since the object was made.
class NoiseWatch {
  public:
    NoiseWatch();
    std::set<std::string> marks() const;

  private:
    std::vector<std::string> at_start_;
    NoiseSample before_;
    int64_t since_ns_;
};

// The read ceiling of a footprint, measured at the start and again at the end of a block; the
// better of the two counts, since noise only ever lowers a bandwidth.
class BlockCeilings {
  public:
    BlockCeilings();
    void measure(ThreadPool& pool, uint64_t footprint, AllocationKind kind);
    // Forgets nothing, but measures anew from here on.
    void second_round();
    // See set_ceiling.
    void set(Row& row, ThreadPool& pool, uint64_t footprint, AllocationKind kind, double bytes,
             double median_ns, std::set<std::string>& marks);

    // The peaks, and the mixes if wanted, that the rows of these kernels are held against.
    void measure_peaks(ThreadPool& pool, const std::set<const tb_kernel*>& kernels,
                       bool mixes = true);
    // Sets peak, probe, mix and their percentages. `mix`: the row is a gemv.
    void set_peaks(Row& row, ThreadPool& pool, const tb_kernel& kernel, double gmac_per_s,
                   bool mix);

  private:
    std::vector<Ceilings> rounds_;
};

std::string pins_text(const ThreadPool& pool);
void set_marks(Row& row, const std::set<std::string>& marks);

}  // namespace tritbench
