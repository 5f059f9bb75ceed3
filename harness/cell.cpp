#include "harness/cell.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "harness/version.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"

namespace tritbench {

std::string_view level_name(Level level) {
    return level == Level::Kernel ? "kernel" : "e2e";
}
std::string_view cache_name(CacheMode mode) {
    return mode == CacheMode::Hot ? "hot" : "cold";
}

std::string_view phase_name(Phase phase) {
    switch (phase) {
        case Phase::Gemv:
            return "gemv";
        case Phase::Gemm:
            return "gemm";
        case Phase::Prefill:
            return "prefill";
        case Phase::PrefillDecode:
            return "prefill+decode";
        case Phase::Decode:
            break;
    }
    return "decode";
}

std::string_view cache_type_name(CacheType type) {
    return type == CacheType::F16 ? "f16" : "f32";
}

CacheType parse_cache_type(std::string_view text, const std::string& where) {
    for (const CacheType type : {CacheType::F16, CacheType::F32}) {
        if (text == cache_type_name(type)) return type;
    }
    throw Error(
        fmt::format("{}: '{}' is not a type of KV cache; expected f16 or f32", where, text));
}

uint64_t fnv1a64(const void* data, size_t bytes, uint64_t hash) {
    const auto* p = static_cast<const unsigned char*>(data);
    for (size_t i = 0; i < bytes; ++i) hash = (hash ^ p[i]) * 0x100000001b3ULL;
    return hash;
}

std::string hex16(uint64_t value) {
    return fmt::format("{:016x}", value);
}

std::string cell_key(const Cell& cell, const std::string& machine_id, uint64_t seed) {
    const BuildInfo& build = build_info();
    std::string text =
        fmt::format("{}|{}|{}|{}|{}|{}|{}|{}", level_name(cell.level), build.compiler, build.flags,
                    machine_id, phase_name(cell.phase), cell.threads, cell.repetitions, seed);
    for (const KernelUse& use : cell.kernels) {
        text += fmt::format("|{}|{}|{}", use.kernel->id, object_hash(*use.kernel),
                            tile_name(*use.kernel, use.tile));
    }
    if (!cell.pins.empty()) text += fmt::format("|pins {}", cell.pins);
    if (cell.level == Level::Kernel) {
        text += fmt::format("|{}|{}|{}|{}", cell.shape.n, cell.shape.k, cell.batch,
                            cache_name(cell.cache));
        if (cell.zeros > 0) text += fmt::format("|zeros {}", cell.zeros);
        return hex16(fnv1a64(text.data(), text.size()));
    }
    text += fmt::format("|{}|{}|{}|{}|{}|{}|{}|{}|{}", cell.model.path.filename().string(),
                        cell.model.file_bytes, cell.plan->name, plan_text(*cell.plan), cell.prompt,
                        cell.generated, cell.depth, cell.sequences, cell.prefill_batch);
    text += fmt::format("|{}|{}", cache_type_name(cell.cache_type), cell.model.head_type);
    if (cell.mode != ModelMode::Full) {
        text += fmt::format("|{}|{}|{}|{}", mode_name(cell.mode), cell.model.name,
                            cell.layers_distinct(), cell.layers_run());
    }
    if (cell.load.i2s != I2sLayout::X86) text += fmt::format("|{}", i2s_layout_name(cell.load.i2s));
    for (const TlTile& t : cell.load.tl_tiles) {
        text += fmt::format("|{}x{}:{},{},{}", t.n, t.k, t.BM, t.BK, t.bm);
    }
    return hex16(fnv1a64(text.data(), text.size()));
}

std::set<std::string> cell_keys(const std::vector<Cell>& cells, const RunInfo& run) {
    std::set<std::string> keys;
    for (const Cell& cell : cells) keys.insert(cell_key(cell, run.machine_id, run.seed));
    return keys;
}

namespace {

std::string counted(int64_t count, const char* what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// "2 threads", with how they are pinned where it is not the default.
std::string pinned_threads(const Cell& cell) {
    const std::string threads = counted(cell.threads, "thread");
    return cell.pins.empty() ? threads : fmt::format("{} on {}", threads, cell.pins);
}

std::string model_cell_label(const Cell& cell) {
    const std::string kernel = kernel_text(cell);
    std::string text =
        fmt::format("{} {} {} ", cell.model.name,
                    cell.plan->name == kernel ? kernel : fmt::format("plan {}", cell.plan->name),
                    phase_name(cell.phase));
    if (cell.prompt > 0) text += fmt::format("{}", cell.prompt);
    if (cell.phase == Phase::PrefillDecode) text += "+";
    if (cell.generated > 0) text += fmt::format("{}", cell.generated);
    if (cell.depth > 0) text += fmt::format(" at depth {}", cell.depth);
    if (cell.sequences > 1) text += fmt::format(", {} sequences", cell.sequences);
    if (cell.prompt > 0 && cell.prefill_batch != kPrefillBatch) {
        text += fmt::format(", batches of {}", cell.prefill_batch);
    }
    if (!cell.load.head.empty()) text += fmt::format(", head {}", cell.load.head);
    if (cell.cache_type != CacheType::F16) {
        text += fmt::format(", cache {}", cache_type_name(cell.cache_type));
    }
    if (cell.mode == ModelMode::ShapeOnly) text += ", drawn";
    if (cell.mode == ModelMode::LayerWindow) {
        text += fmt::format(", window of {}", cell.layers_distinct());
        if (cell.layers_run() < cell.layers) text += fmt::format(", {} run", cell.layers_run());
        text += fmt::format(" of {} layers", cell.layers);
    }
    return text + ", " + pinned_threads(cell);
}

// The kernels of the timed phase, the most weights first.
std::vector<KernelUse> timed_kernels(const Cell& cell) {
    std::vector<KernelUse> timed;
    for (const KernelUse& use : cell.kernels) {
        if (use.timed_weights > 0) timed.push_back(use);
    }
    return timed;
}

std::string layouts_text(const std::vector<KernelUse>& uses) {
    std::set<std::string_view> layouts;
    for (const KernelUse& use : uses) layouts.insert(use.kernel->layout);
    return layouts.size() == 1 ? std::string(*layouts.begin()) : "mixed";
}

std::string object_hashes(const std::vector<KernelUse>& uses) {
    std::set<std::string> hashes;
    for (const KernelUse& use : uses) hashes.emplace(object_hash(*use.kernel));
    if (hashes.size() == 1) return *hashes.begin();
    const std::string all = fmt::format("{}", fmt::join(hashes, " "));
    return hex16(fnv1a64(all.data(), all.size()));
}

double mean_bits_per_weight(const std::vector<KernelUse>& uses) {
    double bits = 0, weights = 0;
    for (const KernelUse& use : uses) {
        bits += bits_per_weight(*use.kernel) * static_cast<double>(use.timed_weights);
        weights += static_cast<double>(use.timed_weights);
    }
    return bits / weights;
}

void set_kernels(Row& row, const Cell& cell) {
    const std::vector<KernelUse> uses = timed_kernels(cell);
    if (uses.empty()) return;
    const auto weakest = std::max_element(
        uses.begin(), uses.end(),
        [](const auto& a, const auto& b) { return a.kernel->exactness < b.kernel->exactness; });
    row.set(Column::Kernel, kernel_text(cell));
    row.set(Column::IsaPath, cell.kernel().isa);
    row.set(Column::Layout, layouts_text(uses));
    row.set(Column::ObjectHash, object_hashes(uses));
    row.set(Column::Exactness, exactness_name(weakest->kernel->exactness));
    row.set(Column::BitsPerWeight, mean_bits_per_weight(uses), 4);
    if (uses.size() == 1) row.set(Column::Tile, tile_name(cell.kernel(), cell.tile()));
}

void set_model(Row& row, const Cell& cell) {
    row.set(Column::Plan, cell.plan->name);
    row.set(Column::Model, cell.model.name);
    row.set(Column::ModelMode, mode_name(cell.mode));
    row.set(Column::LayersDistinct, cell.layers_distinct());
    row.set(Column::LayersRun, cell.layers_run());
    if (!cell.drawn) row.set(Column::ModelFile, cell.model.path.string());
    row.set(Column::ModelType, cell.model.type);
    row.set(Column::ModelParameters, cell.model.parameters);
    if (cell.model.tensor_bytes > 0) row.set(Column::ModelTensorBytes, cell.model.tensor_bytes);
    if (!cell.drawn) row.set(Column::ModelFileBytes, cell.model.file_bytes);
    row.set(Column::HeadType, cell.model.head_type);
    row.set(Column::CacheType, cache_type_name(cell.cache_type));
    row.set(Column::PromptTokens, cell.prompt);
    row.set(Column::GeneratedTokens, cell.generated);
    row.set(Column::DepthTokens, cell.depth);
    row.set(Column::Sequences, cell.sequences);
    row.set(Column::PrefillBatch, cell.prefill_batch);
    row.set(Column::Batch, cell.phase == Phase::Decode ? cell.sequences : cell.prompt);
    row.set(Column::CacheMode, "stream");
    row.set(Column::CallsPerRepetition, cell.phase == Phase::Decode ? cell.generated : 1);
}

}  // namespace

std::vector<int64_t> timed_batches(const Cell& cell) {
    std::vector<int64_t> batches;
    if (cell.prompt >= cell.prefill_batch) batches.push_back(cell.prefill_batch);
    if (cell.prompt % cell.prefill_batch > 0) batches.push_back(cell.prompt % cell.prefill_batch);
    if (cell.generated > 0) batches.push_back(cell.sequences);
    return batches;
}

std::string kernel_text(const Cell& cell) {
    std::set<std::string_view> ids;
    for (const KernelUse& use : timed_kernels(cell)) ids.insert(use.kernel->id);
    if (ids.empty()) return "";
    return ids.size() == 1 ? std::string(*ids.begin()) : "mixed";
}

std::string cell_label(const Cell& cell) {
    if (cell.level == Level::EndToEnd) return model_cell_label(cell);
    const tb_kernel& kernel = cell.kernel();
    const std::string tile = tile_name(kernel, cell.tile());
    const bool usual = tile == tile_name(kernel, default_tile(kernel));
    return fmt::format("{}{} {}x{} batch {}{}, {}, {}", kernel.id,
                       usual ? "" : fmt::format(" ({})", tile), cell.shape.n, cell.shape.k,
                       cell.batch, cell.zeros > 0 ? fmt::format(", {:.4g} zeros", cell.zeros) : "",
                       pinned_threads(cell), cache_name(cell.cache));
}

Row identity_row(const Cell& cell, const RunInfo& run) {
    const BuildInfo& build = build_info();
    Row row;
    row.set(Column::SchemaVersion, kSchemaVersion);
    row.set(Column::RunId, run.run_id);
    row.set(Column::GitRevision, build.revision);
    row.set(Column::GitDirty, build.dirty ? "true" : "false");
    row.set(Column::Compiler, build.compiler);
    row.set(Column::Flags, build.flags);
    row.set(Column::MachineId, run.machine_id);
    row.set(Column::Cpu, run.cpu);
    row.set(Column::Spec, cell.spec);
    row.set(Column::CellKey, cell_key(cell, run.machine_id, run.seed));
    row.set(Column::Level, level_name(cell.level));
    set_kernels(row, cell);
    row.set(Column::Phase, phase_name(cell.phase));
    row.set(Column::Threads, cell.threads);
    if (cell.level == Level::Kernel) {
        row.set(Column::N, cell.shape.n);
        row.set(Column::K, cell.shape.k);
        row.set(Column::Batch, cell.batch);
        if (cell.zeros > 0) row.set(Column::ActivationZeros, cell.zeros, 4);
        row.set(Column::CacheMode, cache_name(cell.cache));
    } else {
        set_model(row, cell);
    }
    return row;
}

double predicted_call_seconds(const Cell& cell) {
    // 0.2 GMAC/s per thread: a scalar kernel in a debug build. A token of any model may also have
    // to come from a disk.
    return 0.01 + cell.work_macs / 0.2e9 / cell.threads;
}

uint64_t repetition_weight(const Cell& cell) {
    const double macs_per_s = std::string_view(cell.kernel().isa) == "scalar" ? 0.5e9 : 25e9;
    const double calls = cell.phase == Phase::Decode ? static_cast<double>(cell.generated) : 1;
    // The share of a repetition in packing, copying and measuring ceilings.
    const uint64_t fixed = cell.level == Level::Kernel && cell.cache == CacheMode::Cold ? 20 : 5;
    return fixed + static_cast<uint64_t>(100 * calls * cell.work_macs / macs_per_s / cell.threads);
}

}  // namespace tritbench
