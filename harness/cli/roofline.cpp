// tritbench roofline: this machine's ceilings, measured.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>

#include "harness/block.h"
#include "harness/cli/commands.h"
#include "harness/cli/model_flags.h"
#include "harness/environment.h"
#include "harness/pins.h"
#include "harness/progress.h"
#include "harness/roofline/ceilings.h"
#include "harness/system_files.h"
#include "kernels/api/error.h"

namespace tritbench::cli {

namespace {

struct RooflineFlags {
    std::vector<int> threads;
    std::string pins = "default";
    std::vector<std::string> footprints, memory;
    bool json = false, csv = false, quick = false;
};

// One line of the output. Empty texts are columns that do not apply.
struct Row {
    std::string what;  // read, int8_dot, lookup, float32_fma, mix
    int threads = 0;
    std::string pins, memory;
    uint64_t footprint_bytes = 0;
    double rate = 0;
    std::string unit;  // GB/s, GMAC/s
    std::string probe, note;
    bool best = true;
};

struct ReadJob {
    int threads;
    uint64_t footprint;
    AllocationKind kind;
};

uint64_t parse_footprint(const std::string& text) {
    const auto bytes = size_with_suffix(text);
    const bool plain =
        !text.empty() && text.find_first_not_of("0123456789KMGkB") == std::string::npos;
    if (!plain || !bytes || *bytes == 0)
        throw Error(fmt::format(
            "roofline --footprint: '{}' is not a size; expected bytes such as 32K, 64M or 1G",
            text));
    return *bytes;
}

// Half of L1 and of L2 of each thread, then powers of four up to what no cache holds.
std::vector<uint64_t> default_footprints(int threads, bool quick) {
    if (quick) return {uint64_t{8} << 20, uint64_t{512} << 20};
    std::vector<uint64_t> sizes;
    const MachineCard card = machine_card();
    for (const int level : {1, 2})
        for (const CacheInfo& cache : card.caches)
            if (cache.level == level && cache.type != "Instruction") {
                sizes.push_back(cache.bytes / 2 * static_cast<uint64_t>(threads));
                break;
            }
    for (const uint64_t megabytes : {8, 32, 128, 512}) sizes.push_back(megabytes << 20);
    std::sort(sizes.begin(), sizes.end());
    return sizes;
}

// Every size with every kind asked for. Left to itself, small pages are measured only where there
// is more than one huge page to compare with.
std::vector<ReadJob> read_jobs(const RooflineFlags& options, const CeilingOptions& ceiling) {
    std::vector<AllocationKind> kinds;
    for (const std::string& name : options.memory) kinds.push_back(parse_allocation(name));
    const bool by_default = kinds.empty();
    if (by_default) kinds = {AllocationKind::HugePages, AllocationKind::SmallPages};
    if (by_default && options.quick) kinds = {AllocationKind::HugePages};
    const uint64_t available = available_memory_bytes();
    std::vector<ReadJob> jobs;
    std::set<std::tuple<int, uint64_t, AllocationKind>> seen;
    for (const int threads : options.threads) {
        std::vector<uint64_t> sizes;
        for (const std::string& text : options.footprints) sizes.push_back(parse_footprint(text));
        if (sizes.empty()) {
            sizes = default_footprints(threads, options.quick);
            std::erase_if(sizes, [&](uint64_t size) { return size > available / 2; });
        }
        for (const AllocationKind kind : kinds)
            for (const uint64_t size : sizes) {
                if (by_default && kind == AllocationKind::SmallPages && size <= (4u << 20))
                    continue;
                const uint64_t rounded = rounded_footprint(size, ceiling.max_footprint_bytes);
                if (seen.insert({threads, rounded, kind}).second)
                    jobs.push_back({threads, size, kind});
            }
    }
    return jobs;
}

void check_threads(RooflineFlags& options) {
    const int cpus = cpus_of_pins_here(parse_pins(options.pins, "--pin"));
    if (options.threads.empty()) {
        options.threads = {1};
        if (cpus > 1) options.threads.push_back(cpus);
    }
    for (const int threads : options.threads)
        if (threads < 1 || threads > cpus)
            throw Error(fmt::format(
                "roofline --threads: {} does not fit this machine; expected 1 to {}, the CPUs this "
                "process may use",
                threads, cpus));
    for (const int threads : options.threads) pins_here(threads, parse_pins(options.pins, "--pin"));
}

void add_peaks(std::vector<Row>& rows, const std::string& what, const char* unit,
               const ThreadPool& pool, const std::vector<IsaPeak>& peaks) {
    for (const IsaPeak& peak : peaks) {
        Row row;
        row.what = what;
        row.threads = pool.threads();
        row.pins = pins_text(pool);
        row.rate = peak.rate;
        row.unit = unit;
        row.probe = peak.isa + " " + peak.instruction;
        row.best = &peak == &peaks.front();
        rows.push_back(row);
    }
}

std::vector<Row> measure(const RooflineFlags& options) {
    CeilingOptions ceiling;
    ceiling.probe_seconds = options.quick ? 0.03 : 0.07;
    ceiling.tries = options.quick ? 2 : 3;
    const std::vector<ReadJob> jobs = read_jobs(options, ceiling);
    const std::string pins = parse_pins(options.pins, "--pin");
    Ceilings ceilings(ceiling);
    Progress progress("roofline", jobs.size() + options.threads.size() * 4);
    std::vector<Row> rows;
    uint64_t done = 0;
    std::unique_ptr<ThreadPool> pool;
    for (const ReadJob& job : jobs) {
        if (interrupted()) throw Error("roofline: interrupted, nothing was written");
        progress.update(done++, fmt::format("read {} MB, {} thread{}", job.footprint >> 20,
                                            job.threads, job.threads > 1 ? "s" : ""));
        if (!pool || pool->threads() != job.threads)
            pool = std::make_unique<ThreadPool>(job.threads, pins_here(job.threads, pins));
        const ReadCeiling& result = ceilings.read(*pool, job.footprint, job.kind);
        rows.push_back({"read", job.threads, pins_text(*pool), allocation_name(job.kind),
                        result.footprint_bytes, result.gb_per_s, "GB/s", result.probe, result.note,
                        true});
    }
    for (const int threads : options.threads) {
        if (interrupted()) throw Error("roofline: interrupted, nothing was written");
        if (!pool || pool->threads() != threads)
            pool = std::make_unique<ThreadPool>(threads, pins_here(threads, pins));
        progress.update(done++, "int8 dot products");
        add_peaks(rows, "int8_dot", "GMAC/s", *pool, ceilings.int8_dot_peaks(*pool));
        progress.update(done++, "byte lookups");
        add_peaks(rows, "lookup", "GB/s", *pool, ceilings.lookup_peaks(*pool));
        progress.update(done++, "float32 multiply-adds");
        add_peaks(rows, "float32_fma", "GMAC/s", *pool, ceilings.float32_fma_peaks(*pool));
        progress.update(done++, "instruction mixes");
        add_peaks(rows, "mix", "GMAC/s", *pool, ceilings.mix_peaks(*pool));
    }
    progress.finish(fmt::format("{} rates", rows.size()));
    return rows;
}

// The unit is a column of its own in JSON and CSV: a rate is either GB/s or GMAC/s.
void print_json(const std::vector<Row>& rows) {
    nlohmann::json list = nlohmann::json::array();
    for (const Row& row : rows) {
        const bool read = row.what == "read";
        list.push_back({{"what", row.what},
                        {"threads", row.threads},
                        {"pins", row.pins},
                        {"memory", read ? nlohmann::json(row.memory) : nullptr},
                        {"footprint_bytes", read ? nlohmann::json(row.footprint_bytes) : nullptr},
                        {"rate", row.rate},
                        {"unit", row.unit},
                        {"probe", row.probe},
                        {"best", row.best},
                        {"note", row.note.empty() ? nullptr : nlohmann::json(row.note)}});
    }
    const MachineCard card = machine_card();
    fmt::print("{}\n", nlohmann::json{{"machine_id", card.machine_id()},
                                      {"noise_marks", noise_marks(card)},
                                      {"ceilings", list}}
                           .dump(2));
}

void print_csv(const std::vector<Row>& rows) {
    const MachineCard card = machine_card();
    const std::string id = card.machine_id();
    const std::string marks = fmt::format("{}", fmt::join(noise_marks(card), " "));
    fmt::print(
        "machine_id,what,threads,pins,memory,footprint_bytes,gb_per_s,gmac_per_s,probe,best,note,"
        "noise_marks\n");
    for (const Row& row : rows) {
        const std::string rate = fmt::format("{:.4f}", row.rate);
        const bool bytes = row.unit == "GB/s";
        fmt::print("{},{},{},{},{},{},{},{},\"{}\",{},\"{}\",{}\n", id, row.what, row.threads,
                   row.pins, row.memory,
                   row.what == "read" ? fmt::format("{}", row.footprint_bytes) : "",
                   bytes ? rate : "", bytes ? "" : rate, row.probe, row.best, row.note, marks);
    }
}

std::string size_text(uint64_t bytes) {
    if (bytes < 1'000'000) return fmt::format("{:.0f} kB", static_cast<double>(bytes) / 1e3);
    return fmt::format("{:.4g} MB", static_cast<double>(bytes) / 1e6);
}

void print_table(const std::vector<Row>& rows) {
    const MachineCard card = machine_card();
    fmt::print("machine {} ({})\n", card.machine_id(),
               card.cpu_model.empty() ? "unknown CPU" : card.cpu_model);
    fmt::print("\nread bandwidth (best of the probes; footprint of all threads together)\n");
    fmt::print("  {:>10}  {:<6}  {:>7}  {:>9}  {}\n", "footprint", "memory", "threads", "GB/s",
               "best probe");
    for (const Row& row : rows)
        if (row.what == "read")
            fmt::print("  {:>10}  {:<6}  {:>7}  {:>9.1f}  {}{}\n", size_text(row.footprint_bytes),
                       row.memory, row.threads, row.rate, row.probe,
                       row.note.empty() ? "" : " (" + row.note + ")");
    const std::pair<const char*, const char*> peaks[] = {
        {"int8_dot", "int8 dot products from registers, GMAC/s"},
        {"lookup", "byte lookups from registers, GB/s looked up"},
        {"float32_fma", "float32 multiply-adds from registers, GMAC/s"},
        {"mix", "inner loops of our kernels without their loads, GMAC/s"}};
    for (const auto& [what, title] : peaks) {
        fmt::print("\n{}\n", title);
        for (const Row& row : rows)
            if (row.what == what)
                fmt::print("  {:<60}  {} thread{}  {:>9.1f}\n", row.probe, row.threads,
                           row.threads > 1 ? "s" : " ", row.rate);
    }
    const auto marks = noise_marks(card);
    if (!marks.empty())
        fmt::print("\nnoise: {} (tritbench env says what to do)\n", fmt::join(marks, ", "));
}

}  // namespace

void add_roofline(CLI::App& app, int* /*exit_code*/) {
    CLI::App* command = app.add_subcommand(
        "roofline", "Measure this machine's ceilings: read bandwidth, dot products, lookups");
    auto options = std::make_shared<RooflineFlags>();
    command->add_option("--threads", options->threads, "Thread counts (default: 1 and all)")
        ->delimiter(',');
    add_one_pin_flag(*command, options->pins);
    command
        ->add_option("--footprint", options->footprints,
                     "Bytes read by all threads together, e.g. 32K,8M,1G (at most 1 GB)")
        ->delimiter(',');
    command->add_option("--memory", options->memory, "Kinds of memory: huge, 4k, mapped")
        ->delimiter(',');
    command->add_flag("--quick", options->quick, "Two footprints, shorter probes: a few seconds");
    CLI::Option* json = command->add_flag("--json", options->json, "Print JSON");
    command->add_flag("--csv", options->csv, "Print CSV")->excludes(json);
    command->callback([options] {
        install_interrupt_handler();
        check_threads(*options);
        const std::vector<Row> rows = measure(*options);
        if (options->json)
            print_json(rows);
        else if (options->csv)
            print_csv(rows);
        else
            print_table(rows);
    });
}

}  // namespace tritbench::cli
