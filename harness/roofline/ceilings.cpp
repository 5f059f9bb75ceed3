#include "harness/roofline/ceilings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "harness/environment.h"
#include "harness/roofline/probe_memory.h"
#include "harness/roofline/probe_runner.h"
#include "harness/roofline/probe_tables.h"
#include "harness/roofline/read_loops.h"
#include "kernels/api/error.h"

namespace tritbench {

namespace {

std::string pins_key(const ThreadPool& pool) {
    return fmt::format("{}", fmt::join(pool.pins(), ","));
}

// Rounds per worker for its share of the footprint. Streams of a long part lie an odd number of
// cache lines (modulo 64) apart, or all of them would fall into the same cache sets.
uint64_t rounds_per_worker(uint64_t footprint, int workers) {
    const uint64_t share = footprint / static_cast<uint64_t>(workers);
    uint64_t rounds = std::max<uint64_t>(1, share / TB_PROBE_ROUND_BYTES);
    constexpr uint64_t kLong = 1024, kModulus = 64, kRest = 9;
    if (rounds >= kLong) rounds -= (rounds % kModulus + kModulus - kRest) % kModulus;
    return rounds;
}

std::vector<ProbeCandidate> read_candidates(const ProbeMemory& memory, uint64_t rounds,
                                            int workers) {
    std::vector<ProbeCandidate> candidates;
    for (const ReadLoop& loop : read_loops()) {
        ProbeCandidate c;
        c.name = loop.name();
        c.repeat = [loop, &memory, rounds](int worker, uint64_t passes) {
            return loop.read(memory.part(worker), rounds, passes);
        };
        c.work_per_unit = static_cast<double>(rounds) * TB_PROBE_ROUND_BYTES * workers;
        candidates.push_back(std::move(c));
    }
    return candidates;
}

void add_note(std::string& note, const std::string& text) {
    note += (note.empty() ? "" : "; ") + text;
}

// Patterns for the register probes: varied, small enough for vpmaddubsw not to saturate.
struct Patterns {
    alignas(64) uint8_t a[64];
    int8_t b[64];
    uint8_t table16[64], table64[64], start16[64], start64[64];
    float x[16], y[16];

    Patterns() {
        for (int i = 0; i < 64; ++i) {
            a[i] = static_cast<uint8_t>(i % 4);
            b[i] = static_cast<int8_t>((i * 37) % 255 - 127);
            table16[i] = static_cast<uint8_t>((i * 7 + 3) % 16);
            table64[i] = static_cast<uint8_t>((i * 29 + 11) % 64);
            start16[i] = static_cast<uint8_t>(i % 16);
            start64[i] = static_cast<uint8_t>(i);
        }
        for (int i = 0; i < 16; ++i) {
            // Sums stay far from denormals and from infinity for any number of iterations.
            x[i] = i % 2 ? 1.0f + static_cast<float>(i) : -1.0f - static_cast<float>(i);
            y[i] = 0.03125f;
        }
    }
};

const Patterns& patterns() {
    static const Patterns all;
    return all;
}

std::vector<IsaPeak> measure_peaks(ThreadPool& pool, const CeilingOptions& options,
                                   const std::vector<std::pair<IsaPeak, ProbeCandidate>>& probes) {
    std::vector<IsaPeak> peaks;
    for (const auto& [peak, probe] : probes) {
        // Each ISA is asked about in its own right, so each gets all its tries.
        std::vector<ProbeCandidate> one{probe};
        measure_all(pool, one, options);
        peaks.push_back(peak);
        peaks.back().rate = one[0].best;
    }
    std::sort(peaks.begin(), peaks.end(),
              [](const IsaPeak& a, const IsaPeak& b) { return a.rate > b.rate; });
    return peaks;
}

// A unit of a register probe: long enough that calling it costs nothing.
constexpr uint64_t kIterations = 1000;

ProbeCandidate register_candidate(const ThreadPool& pool, uint32_t work_per_iteration,
                                  std::function<uint64_t(uint64_t)> probe) {
    ProbeCandidate c;
    c.repeat = [probe = std::move(probe)](int, uint64_t count) {
        return probe(count * kIterations);
    };
    c.work_per_unit =
        static_cast<double>(work_per_iteration) * static_cast<double>(kIterations) * pool.threads();
    return c;
}

double best_of(const std::vector<IsaPeak>& peaks, std::string* isa) {
    if (isa) *isa = peaks.front().isa;
    return peaks.front().rate;
}

}  // namespace

std::string allocation_name(AllocationKind kind) {
    switch (kind) {
        case AllocationKind::HugePages:
            return "huge";
        case AllocationKind::SmallPages:
            return "4k";
        case AllocationKind::MappedFile:
            return "mapped";
    }
    return "unknown";
}

std::string_view allocation_text(AllocationKind kind) {
    switch (kind) {
        case AllocationKind::HugePages:
            return "huge pages";
        case AllocationKind::SmallPages:
            return "4 KiB pages";
        case AllocationKind::MappedFile:
            return "mapped file";
    }
    return "unknown memory";
}

AllocationKind parse_allocation(const std::string& name) {
    for (const AllocationKind kind :
         {AllocationKind::HugePages, AllocationKind::SmallPages, AllocationKind::MappedFile})
        if (name == allocation_name(kind)) return kind;
    throw Error(fmt::format("memory kind '{}' is unknown; expected huge, 4k or mapped", name));
}

uint64_t rounded_footprint(uint64_t bytes, uint64_t max_bytes) {
    if (bytes >= max_bytes) return max_bytes;
    const double quarter =
        std::round(4 * std::log2(static_cast<double>(std::max<uint64_t>(1, bytes))));
    const uint64_t rounded = static_cast<uint64_t>(std::llround(std::exp2(quarter / 4)));
    return std::clamp<uint64_t>(rounded, TB_PROBE_ROUND_BYTES, max_bytes);
}

Ceilings::Ceilings(CeilingOptions options) : options_(options) {}

const ReadCeiling& Ceilings::read(ThreadPool& pool, uint64_t footprint_bytes, AllocationKind kind) {
    if (footprint_bytes == 0)
        throw Error("roofline: footprint is 0 bytes; expected the bytes read by all threads");
    const uint64_t footprint = rounded_footprint(footprint_bytes, options_.max_footprint_bytes);
    const std::string key =
        fmt::format("{}|{}|{}", pins_key(pool), footprint, allocation_name(kind));
    if (const auto known = reads_.find(key); known != reads_.end()) return known->second;

    const uint64_t available = available_memory_bytes();
    if (available < footprint + footprint / 4)
        throw Error(fmt::format(
            "roofline: a footprint of {} MB does not fit the {} MB of memory available; ask for a "
            "smaller one",
            footprint >> 20, available >> 20));
    const int workers = pool.threads();
    const uint64_t rounds = rounds_per_worker(footprint, workers);
    const ProbeMemory memory(pool, rounds * TB_PROBE_ROUND_BYTES, kind);
    std::vector<ProbeCandidate> candidates = read_candidates(memory, rounds, workers);
    measure_all(pool, candidates, options_);

    ReadCeiling result;
    result.footprint_bytes = rounds * TB_PROBE_ROUND_BYTES * static_cast<uint64_t>(workers);
    if (footprint_bytes > options_.max_footprint_bytes)
        add_note(result.note, fmt::format("capped at {} MB", footprint / 1'000'000));
    if (kind == AllocationKind::HugePages && memory.size() >= (size_t{4} << 20)) {
        const int64_t huge = memory.bytes_in_huge_pages();
        const double part = static_cast<double>(huge) / static_cast<double>(memory.size());
        if (huge >= 0 && part < 0.9)
            add_note(result.note, fmt::format("only {:.0f}% in huge pages", 100 * part));
    }
    for (const ProbeCandidate& c : candidates) {
        result.probes.push_back({c.name, c.best});
        if (c.best > result.gb_per_s) {
            result.gb_per_s = c.best;
            result.probe = c.name;
        }
    }
    return reads_.emplace(key, std::move(result)).first->second;
}

double Ceilings::read_gb_per_s(ThreadPool& pool, uint64_t footprint_bytes, AllocationKind kind,
                               std::string* probe) {
    const ReadCeiling& ceiling = read(pool, footprint_bytes, kind);
    if (probe) *probe = ceiling.probe;
    return ceiling.gb_per_s;
}

const std::vector<IsaPeak>& Ceilings::int8_dot_peaks(ThreadPool& pool) {
    std::vector<IsaPeak>& peaks = peaks_["dot|" + pins_key(pool)];
    if (!peaks.empty()) return peaks;
    std::vector<std::pair<IsaPeak, ProbeCandidate>> probes;
    for (const tb_probe_table* table : allowed_probe_tables())
        if (table->dot)
            probes.emplace_back(IsaPeak{table->isa, table->dot_instruction, 0},
                                register_candidate(pool, table->dot_macs, [table](uint64_t n) {
                                    return table->dot(n, patterns().a, patterns().b);
                                }));
    return peaks = measure_peaks(pool, options_, probes);
}

const std::vector<IsaPeak>& Ceilings::lookup_peaks(ThreadPool& pool) {
    std::vector<IsaPeak>& peaks = peaks_["lookup|" + pins_key(pool)];
    if (!peaks.empty()) return peaks;
    std::vector<std::pair<IsaPeak, ProbeCandidate>> probes;
    for (const tb_probe_table* table : allowed_probe_tables())
        if (table->lookup)
            probes.emplace_back(IsaPeak{table->isa, table->lookup_instruction, 0},
                                register_candidate(pool, table->lookup_bytes, [table](uint64_t n) {
                                    const Patterns& p = patterns();
                                    const bool small = table->lookup_entries == 16;
                                    return table->lookup(n, small ? p.table16 : p.table64,
                                                         small ? p.start16 : p.start64);
                                }));
    return peaks = measure_peaks(pool, options_, probes);
}

const std::vector<IsaPeak>& Ceilings::float32_fma_peaks(ThreadPool& pool) {
    std::vector<IsaPeak>& peaks = peaks_["fma|" + pins_key(pool)];
    if (!peaks.empty()) return peaks;
    std::vector<std::pair<IsaPeak, ProbeCandidate>> probes;
    for (const tb_probe_table* table : allowed_probe_tables())
        if (table->fma)
            probes.emplace_back(IsaPeak{table->isa, table->fma_instruction, 0},
                                register_candidate(pool, table->fma_macs, [table](uint64_t n) {
                                    const float sum = table->fma(n, patterns().x, patterns().y);
                                    return static_cast<uint64_t>(sum == 0.0f);
                                }));
    return peaks = measure_peaks(pool, options_, probes);
}

const std::vector<IsaPeak>& Ceilings::mix_peaks(ThreadPool& pool) {
    std::vector<IsaPeak>& peaks = peaks_["mix|" + pins_key(pool)];
    if (!peaks.empty()) return peaks;
    std::vector<std::pair<IsaPeak, ProbeCandidate>> probes;
    for (const tb_probe_table* table : allowed_probe_tables())
        for (uint32_t i = 0; i < table->mix_count; ++i) {
            const tb_probe_mix* mix = &table->mixes[i];
            probes.emplace_back(IsaPeak{mix->kernel, mix->instructions, 0},
                                register_candidate(pool, mix->macs, [mix](uint64_t n) {
                                    return mix->run(n, patterns().a, patterns().b);
                                }));
        }
    return peaks = measure_peaks(pool, options_, probes);
}

double Ceilings::mix_gmac_per_s(ThreadPool& pool, const std::string& kernel) {
    for (const IsaPeak& peak : mix_peaks(pool))
        if (peak.isa == kernel) return peak.rate;
    return 0;
}

double Ceilings::int8_dot_gmac_per_s(ThreadPool& pool, std::string* isa) {
    return best_of(int8_dot_peaks(pool), isa);
}

double Ceilings::lookup_gbytes_per_s(ThreadPool& pool, std::string* isa) {
    return best_of(lookup_peaks(pool), isa);
}

double Ceilings::float32_fma_gmac_per_s(ThreadPool& pool, std::string* isa) {
    return best_of(float32_fma_peaks(pool), isa);
}

}  // namespace tritbench
