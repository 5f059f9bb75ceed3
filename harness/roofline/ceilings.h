// This machine's ceilings: read bandwidth by footprint and kind of memory, and the peaks of int8
// dot products, byte lookups and float32 multiply-adds, each with the threads and pins of a pool.
//
// A ceiling is the best of several probes and tries: noise on a shared machine only ever lowers a
// rate. Each probe runs a fixed amount of work, calibrated to last `probe_seconds`, on all workers
// of the pool at once. Rate = total work of all workers / (last end - first start), read from the
// steady clock inside the job: a worker that lags lowers the rate, nothing is added up that did
// not happen at the same time. GB = 1e9 bytes, GMAC = 1e9 multiply-accumulates.
//
// Results are kept for the life of the object by (pins, footprint, kind): the second call is free
// and returns the identical value. Not thread safe. Probes of ISAs that TRITBENCH_CPU takes away
// are not run.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/thread_pool.h"

namespace tritbench {

enum class AllocationKind {
    HugePages,   // anonymous, advised as huge pages, as AlignedBuffer
    SmallPages,  // anonymous, huge pages refused
    MappedFile   // shared mapping of the page cache, as a model file that is in memory
};
std::string allocation_name(AllocationKind kind);          // "huge", "4k", "mapped"
AllocationKind parse_allocation(const std::string& name);  // throws Error
std::string_view allocation_text(AllocationKind kind);     // "huge pages", ...

struct CeilingOptions {
    double probe_seconds = 0.08;  // of one try
    int tries = 3;                // of each probe that is near the best
    uint64_t max_footprint_bytes = 1'000'000'000;
};

// One probe's best try.
struct ProbeRate {
    std::string probe;  // "avx512 4 streams, prefetch 2048"
    double gb_per_s = 0;
};

struct ReadCeiling {
    double gb_per_s = 0;
    std::string probe;              // the best one
    uint64_t footprint_bytes = 0;   // really read, all workers together
    std::string note;               // "" or e.g. "capped at 1 GB", "only 12% in huge pages"
    std::vector<ProbeRate> probes;  // all, as run
};

struct IsaPeak {
    std::string isa;          // "avx512vnni"
    std::string instruction;  // "vpdpbusd zmm"
    double rate = 0;          // GMAC/s or GB/s, 1e9 per second
};

class Ceilings {
  public:
    explicit Ceilings(CeilingOptions options = {});

    // Of what is measured from here on.
    void set_probe_seconds(double seconds) { options_.probe_seconds = seconds; }

    // Read bandwidth of the pool over `footprint_bytes` in total (all workers together, each reads
    // its own contiguous slice over and over; first touched by the worker that reads it). The
    // footprint is rounded to a quarter power of two and capped. Throws Error if there is not
    // enough memory, or footprint_bytes is 0.
    const ReadCeiling& read(ThreadPool& pool, uint64_t footprint_bytes, AllocationKind kind);
    double read_gb_per_s(ThreadPool& pool, uint64_t footprint_bytes, AllocationKind kind,
                         std::string* probe = nullptr);

    // Register-resident peaks, one entry per ISA allowed that has the instruction, best first.
    const std::vector<IsaPeak>& int8_dot_peaks(ThreadPool& pool);     // GMAC/s
    const std::vector<IsaPeak>& lookup_peaks(ThreadPool& pool);       // bytes looked up, GB/s
    const std::vector<IsaPeak>& float32_fma_peaks(ThreadPool& pool);  // GMAC/s
    // The bound of a kernel's instruction mix (see probes.h), GMAC/s; 0 if there is no such loop or
    // it may not run here.
    double mix_gmac_per_s(ThreadPool& pool, const std::string& kernel);
    // All of them that may run here: `isa` holds the kernel's id.
    const std::vector<IsaPeak>& mix_peaks(ThreadPool& pool);
    // The best of them.
    double int8_dot_gmac_per_s(ThreadPool& pool, std::string* isa = nullptr);
    double lookup_gbytes_per_s(ThreadPool& pool, std::string* isa = nullptr);
    double float32_fma_gmac_per_s(ThreadPool& pool, std::string* isa = nullptr);

  private:
    CeilingOptions options_;
    std::map<std::string, ReadCeiling> reads_;
    std::map<std::string, std::vector<IsaPeak>> peaks_;
};

// The footprint a request is rounded to: nearest 2^(n/4), not above max_bytes.
uint64_t rounded_footprint(uint64_t bytes, uint64_t max_bytes);

}  // namespace tritbench
