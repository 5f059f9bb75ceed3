#include "harness/roofline/survey_jobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "harness/environment.h"

namespace tritbench {
namespace {

// Half of L1 and of L2 of each thread, then powers of four up to what no cache holds; the largest
// first, since what they take depends least on the length of a probe.
std::vector<uint64_t> default_footprints(int threads, bool quick) {
    if (quick) return {uint64_t{512} << 20, uint64_t{8} << 20};
    std::vector<uint64_t> sizes;
    const MachineCard card = machine_card();
    for (const int level : {1, 2})
        for (const CacheInfo& cache : card.caches)
            if (cache.level == level && cache.type != "Instruction") {
                sizes.push_back(cache.bytes / 2 * static_cast<uint64_t>(threads));
                break;
            }
    for (const uint64_t megabytes : {8, 32, 128, 512}) sizes.push_back(megabytes << 20);
    if (2 * last_level_cache_bytes() > sizes.back()) sizes.push_back(1'000'000'000);
    std::sort(sizes.rbegin(), sizes.rend());
    return sizes;
}

class JobList {
  public:
    JobList(const SurveyRequest& request, const std::vector<int>& threads,
            uint64_t max_footprint_bytes)
        : request_(request), max_footprint_(max_footprint_bytes) {
        for (const int t : threads) {
            const bool end = t == threads.front() || t == threads.back();
            add_threads(t, request.threads.empty() && !end);
        }
        std::vector<SurveyJob> ordered;
        for (const bool optional : {false, true}) {
            for (const SurveyJob& job : jobs_) {
                if (job.optional == optional) ordered.push_back(job);
            }
        }
        jobs_ = std::move(ordered);
    }

    std::vector<SurveyJob> take() { return std::move(jobs_); }

  private:
    void add_threads(int threads, bool optional) {
        std::vector<uint64_t> sizes = request_.footprints;
        std::sort(sizes.rbegin(), sizes.rend());
        if (sizes.empty()) {
            sizes = default_footprints(threads, request_.quick);
            std::erase_if(sizes, [&](uint64_t size) { return size > available_ / 2; });
        }
        for (const uint64_t size : sizes) {
            add_read(threads, size, AllocationKind::HugePages, optional);
            if (optional) continue;
            // Memory is where kinds differ most: there they are always compared.
            const bool spare = request_.footprints.empty() && size != sizes.front();
            add_read(threads, size, AllocationKind::SmallPages, spare);
            add_read(threads, size, AllocationKind::MappedFile, spare);
        }
        // It takes more than a second to start, so it is asked twice: memory, and a cache.
        if (!request_.likwid_bench.empty() && !optional && !sizes.empty()) {
            const uint64_t small = sizes.size() > 2 ? sizes[sizes.size() - 2] : sizes.back();
            const bool by_default = request_.threads.empty();
            for (const uint64_t size : {sizes.front(), small}) {
                add({SurveyStep::Likwid, threads, size, AllocationKind::HugePages, by_default});
            }
        }
        for (const SurveyStep step :
             {SurveyStep::Int8Dot, SurveyStep::Lookup, SurveyStep::Float32Fma, SurveyStep::Mix}) {
            add({step, threads, 0, AllocationKind::HugePages, optional});
        }
    }

    // Left to itself, only huge pages are measured where one of them holds everything, or nearly.
    void add_read(int threads, uint64_t size, AllocationKind kind, bool optional) {
        const bool huge = kind == AllocationKind::HugePages;
        if (request_.kinds.empty()) {
            if (!huge && (request_.quick || size <= (uint64_t{4} << 20))) return;
        } else if (std::find(request_.kinds.begin(), request_.kinds.end(), kind) ==
                   request_.kinds.end()) {
            return;
        }
        add({SurveyStep::Read, threads, size, kind, optional});
    }

    void add(const SurveyJob& job) {
        const uint64_t rounded =
            job.footprint == 0 ? 0 : rounded_footprint(job.footprint, max_footprint_);
        if (seen_.insert({job.step, job.threads, rounded, job.kind}).second) jobs_.push_back(job);
    }

    const SurveyRequest& request_;
    const uint64_t max_footprint_;
    const uint64_t available_ = available_memory_bytes();
    std::set<std::tuple<SurveyStep, int, uint64_t, AllocationKind>> seen_;
    std::vector<SurveyJob> jobs_;
};

}  // namespace

std::string SurveyRequest::text() const {
    std::vector<std::string> names;
    for (const AllocationKind kind : kinds) names.push_back(allocation_name(kind));
    return fmt::format("threads {} on {} footprints {} memory {}{} in {} s{}",
                       fmt::join(threads, ","), pins.empty() ? "default" : pins,
                       fmt::join(footprints, ","), fmt::join(names, ","), quick ? " quick" : "",
                       seconds, likwid_bench.empty() ? "" : " likwid " + likwid_bench);
}

std::vector<int> default_survey_threads(int cpus) {
    std::vector<int> counts;
    for (int count = 1; count < cpus; count *= 2) counts.push_back(count);
    counts.push_back(cpus);
    return counts;
}

std::vector<SurveyJob> survey_jobs(const SurveyRequest& request, const std::vector<int>& threads,
                                   uint64_t max_footprint_bytes) {
    return JobList(request, threads, max_footprint_bytes).take();
}

}  // namespace tritbench
