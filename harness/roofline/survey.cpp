#include "harness/roofline/survey.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <tuple>

#include "harness/measure.h"
#include "harness/pins.h"
#include "harness/roofline/likwid_bench.h"
#include "harness/roofline/probe_tables.h"
#include "harness/roofline/read_loops.h"
#include "harness/roofline/survey_jobs.h"
#include "kernels/api/error.h"

namespace tritbench {
namespace {

// How long probes may be for the rest of the jobs to end in time.
class Pace {
  public:
    Pace(double seconds, bool quick, const std::vector<SurveyJob>& jobs)
        : end_ns_(now_ns() + static_cast<int64_t>(seconds * 1e9)), longest_(quick ? 0.03 : 0.07) {
        for (const SurveyJob& job : jobs) add(job, 1);
    }

    double left_s() const { return static_cast<double>(end_ns_ - now_ns()) / 1e9; }
    double probe_seconds() const {
        constexpr double kShortest = 0.003;
        if (probes_ <= 0) return longest_;
        return std::clamp((left_s() - fixed_s_) / probes_, kShortest, longest_);
    }
    void done(const SurveyJob& job) { add(job, -1); }

  private:
    // A register probe is calibrated (half its length) and run three times. A read first tries all
    // loops for a quarter, then three of them three times; what it takes at least is a pass over
    // the footprint each time, and filling it, at some 10 GB/s.
    void add(const SurveyJob& job, double sign) {
        constexpr double kFinalRuns = 9;
        const auto loops = static_cast<double>(read_loops().size());
        if (job.step == SurveyStep::Read) {
            probes_ += sign * (loops / 2 + kFinalRuns);
            fixed_s_ += sign * static_cast<double>(job.footprint) / 1e10 * (loops + 3);
        } else if (job.step == SurveyStep::Likwid) {
            fixed_s_ += sign * 2;
        } else {
            for (const tb_probe_table* table : allowed_probe_tables()) {
                const uint32_t count = job.step == SurveyStep::Mix ? table->mix_count : 1;
                probes_ += sign * 3.5 * count;
            }
        }
    }

    const int64_t end_ns_;
    const double longest_;
    double probes_ = 0;   // lengths of a probe that the jobs to come take
    double fixed_s_ = 0;  // and what they take whatever its length
};

class Survey {
  public:
    Survey(const SurveyRequest& request, const std::vector<int>& threads)
        : request_(request),
          jobs_(survey_jobs(request, threads, options_.max_footprint_bytes)),
          ceilings_(options_),
          pace_(request.seconds, request.quick, jobs_) {}

    SurveyResult run(const SurveyProgress& progress) {
        uint64_t done = 0, left_out = 0;
        for (const SurveyJob& job : jobs_) {
            progress(done++, jobs_.size(), name_of(job));
            if (job.optional && pace_.left_s() <= 0) {
                ++left_out;
            } else {
                measure(job);
            }
            pace_.done(job);
        }
        if (left_out > 0) {
            result_.notes.push_back(fmt::format("{} of {} measurements were left out for time",
                                                left_out, jobs_.size()));
        }
        if (request_.likwid_bench.empty()) {
            result_.notes.emplace_back("likwid-bench: not installed");
        } else if (!likwid_problem_.empty()) {
            result_.notes.push_back("likwid-bench: " + likwid_problem_);
        }
        // In the order that a reader expects, not the one they were measured in.
        std::vector<size_t> order(result_.rates.size());
        std::iota(order.begin(), order.end(), size_t{0});
        std::sort(order.begin(), order.end(), [&](size_t i, size_t j) {
            const SurveyRate &a = result_.rates[i], &b = result_.rates[j];
            const bool a_read = a.what == "read", b_read = b.what == "read";
            if (a_read != b_read) return a_read;
            if (!a_read) return std::tie(a.threads, i) < std::tie(b.threads, j);
            return std::tie(a.threads, a.memory, a.footprint_bytes, i) <
                   std::tie(b.threads, b.memory, b.footprint_bytes, j);
        });
        std::vector<SurveyRate> rates;
        for (const size_t i : order) rates.push_back(std::move(result_.rates[i]));
        result_.rates = std::move(rates);
        return std::move(result_);
    }

  private:
    static std::string name_of(const SurveyJob& job) {
        const std::string threads =
            fmt::format("{} thread{}", job.threads, job.threads > 1 ? "s" : "");
        switch (job.step) {
            case SurveyStep::Read:
                return fmt::format("read {} MB, {}, {}", job.footprint >> 20,
                                   allocation_name(job.kind), threads);
            case SurveyStep::Likwid:
                return fmt::format("likwid-bench {} MB, {}", job.footprint >> 20, threads);
            case SurveyStep::Int8Dot:
                return "int8 dot products, " + threads;
            case SurveyStep::Lookup:
                return "byte lookups, " + threads;
            case SurveyStep::Float32Fma:
                return "float32 multiply-adds, " + threads;
            case SurveyStep::Mix:
                break;
        }
        return "instruction mixes, " + threads;
    }

    void measure(const SurveyJob& job) {
        if (!pool_ || pool_->threads() != job.threads) {
            pool_ =
                std::make_unique<ThreadPool>(job.threads, pins_here(job.threads, request_.pins));
        }
        ceilings_.set_probe_seconds(pace_.probe_seconds());
        switch (job.step) {
            case SurveyStep::Read:
                return read(job);
            case SurveyStep::Likwid:
                return ask_likwid(job);
            case SurveyStep::Int8Dot:
                return add_peaks("int8_dot", "GMAC/s", ceilings_.int8_dot_peaks(*pool_));
            case SurveyStep::Lookup:
                return add_peaks("lookup", "GB/s", ceilings_.lookup_peaks(*pool_));
            case SurveyStep::Float32Fma:
                return add_peaks("float32_fma", "GMAC/s", ceilings_.float32_fma_peaks(*pool_));
            case SurveyStep::Mix:
                return add_peaks("mix", "GMAC/s", ceilings_.mix_peaks(*pool_));
        }
    }

    SurveyRate rate_of(const char* what, const char* unit, double rate) const {
        SurveyRate result;
        result.what = what;
        result.threads = pool_->threads();
        result.pins = fmt::format("{}", fmt::join(pool_->pins(), " "));
        result.unit = unit;
        result.rate = rate;
        return result;
    }

    void read(const SurveyJob& job) {
        const ReadCeiling& ceiling = ceilings_.read(*pool_, job.footprint, job.kind);
        SurveyRate rate = rate_of("read", "GB/s", ceiling.gb_per_s);
        rate.memory = allocation_name(job.kind);
        rate.footprint_bytes = ceiling.footprint_bytes;
        rate.probe = ceiling.probe;
        rate.note = ceiling.note;
        result_.rates.push_back(std::move(rate));
    }

    void add_peaks(const char* what, const char* unit, const std::vector<IsaPeak>& peaks) {
        for (const IsaPeak& peak : peaks) {
            SurveyRate rate = rate_of(what, unit, peak.rate);
            rate.probe = peak.isa + " " + peak.instruction;
            rate.best = &peak == &peaks.front();
            result_.rates.push_back(std::move(rate));
        }
    }

    // As many passes as take a fifth of a second at the rate that we found.
    void ask_likwid(const SurveyJob& job) {
        if (!likwid_problem_.empty()) return;
        const ReadCeiling& ours = ceilings_.read(*pool_, job.footprint, AllocationKind::HugePages);
        const double passes = ours.gb_per_s * 1e9 * 0.2 / static_cast<double>(ours.footprint_bytes);
        const std::string test = likwid_load_test();
        const LikwidReading reading =
            run_likwid_bench(request_.likwid_bench, test, job.threads, ours.footprint_bytes,
                             std::max<uint64_t>(2, static_cast<uint64_t>(passes)), 10);
        likwid_problem_ = reading.problem;
        if (!reading.problem.empty()) return;
        SurveyRate rate = rate_of("likwid_read", "GB/s", reading.gb_per_s);
        rate.pins.clear();  // it chooses them itself
        rate.footprint_bytes = ours.footprint_bytes;
        rate.probe = "likwid-bench " + test;
        result_.rates.push_back(std::move(rate));
    }

    const SurveyRequest& request_;
    const CeilingOptions options_;
    const std::vector<SurveyJob> jobs_;
    Ceilings ceilings_;
    Pace pace_;
    std::unique_ptr<ThreadPool> pool_;
    SurveyResult result_;
    std::string likwid_problem_;
};

}  // namespace

SurveyResult survey_ceilings(const SurveyRequest& request, const SurveyProgress& progress) {
    const int cpus = cpus_of_pins_here(request.pins);
    const std::vector<int> threads =
        request.threads.empty() ? default_survey_threads(cpus) : request.threads;
    for (const int count : threads) {
        if (count >= 1 && count <= cpus) {
            pins_here(count, request.pins);  // throws where they cannot be pinned so
            continue;
        }
        throw Error(
            fmt::format("roofline --threads: {} does not fit this machine; expected 1 to {}, the "
                        "CPUs this process may use",
                        count, cpus));
    }
    return Survey(request, threads).run(progress);
}

}  // namespace tritbench
