#include "harness/cell.h"

#include <fmt/format.h>

#include "harness/version.h"
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
        case Phase::Decode:
            break;
    }
    return "decode";
}

uint64_t fnv1a64(const void* data, size_t bytes, uint64_t hash) {
    const auto* p = static_cast<const unsigned char*>(data);
    for (size_t i = 0; i < bytes; ++i) hash = (hash ^ p[i]) * 0x100000001b3ULL;
    return hash;
}

std::string hex16(uint64_t value) {
    return fmt::format("{:016x}", value);
}

std::string cell_key(const Cell& cell, const std::string& machine_id) {
    const BuildInfo& build = build_info();
    std::string text = fmt::format(
        "{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", level_name(cell.level), cell.kernel->id,
        object_hash(*cell.kernel), tile_name(*cell.kernel, cell.tile), build.compiler, build.flags,
        machine_id, phase_name(cell.phase), cell.threads, cell.repetitions);
    if (cell.level == Level::Kernel) {
        text += fmt::format("|{}|{}|{}|{}", cell.shape.n, cell.shape.k, cell.batch,
                            cache_name(cell.cache));
        if (cell.zeros > 0) text += fmt::format("|zeros {}", cell.zeros);
    } else {
        text += fmt::format("|{}|{}|{}|{}", cell.model.filename().string(), cell.model_file_bytes,
                            cell.tokens, cell.depth);
        if (cell.load.i2s != I2sLayout::X86) {
            text += fmt::format("|{}", i2s_layout_name(cell.load.i2s));
        }
        if (!cell.load.head.empty()) text += fmt::format("|head {}", cell.load.head);
        for (const TlTile& t : cell.load.tl_tiles) {
            text += fmt::format("|{}x{}:{},{},{}", t.n, t.k, t.BM, t.BK, t.bm);
        }
    }
    return hex16(fnv1a64(text.data(), text.size()));
}

std::string cell_label(const Cell& cell) {
    const std::string threads =
        fmt::format("{} thread{}", cell.threads, cell.threads == 1 ? "" : "s");
    if (cell.level == Level::Kernel) {
        const std::string tile = tile_name(*cell.kernel, cell.tile);
        const bool usual = tile == tile_name(*cell.kernel, default_tile(*cell.kernel));
        return fmt::format("{}{} {}x{} batch {}{}, {}, {}", cell.kernel->id,
                           usual ? "" : fmt::format(" ({})", tile), cell.shape.n, cell.shape.k,
                           cell.batch,
                           cell.zeros > 0 ? fmt::format(", {:.4g} zeros", cell.zeros) : "", threads,
                           cache_name(cell.cache));
    }
    const std::string depth = cell.depth > 0 ? fmt::format(" at depth {}", cell.depth) : "";
    const std::string head = cell.load.head.empty() ? "" : ", head " + cell.load.head;
    return fmt::format("{} {} {} {}{}, {}{}", cell.model.stem().string(), cell.kernel->id,
                       phase_name(cell.phase), cell.tokens, depth, threads, head);
}

Row identity_row(const Cell& cell, const RunInfo& run) {
    const BuildInfo& build = build_info();
    const tb_kernel& kernel = *cell.kernel;
    Row row;
    row.set(Column::SchemaVersion, kSchemaVersion);
    row.set(Column::RunId, run.run_id);
    row.set(Column::GitRevision, build.revision);
    row.set(Column::GitDirty, build.dirty ? "true" : "false");
    row.set(Column::Compiler, build.compiler);
    row.set(Column::Flags, build.flags);
    row.set(Column::MachineId, run.machine_id);
    row.set(Column::Cpu, run.cpu);
    row.set(Column::IsaPath, kernel.isa);
    row.set(Column::Spec, cell.spec);
    row.set(Column::CellKey, cell_key(cell, run.machine_id));
    row.set(Column::Level, level_name(cell.level));
    row.set(Column::Kernel, kernel.id);
    row.set(Column::Layout, kernel.layout);
    row.set(Column::ObjectHash, object_hash(kernel));
    row.set(Column::Exactness, exactness_name(kernel.exactness));
    row.set(Column::BitsPerWeight, bits_per_weight(kernel), 4);
    row.set(Column::Tile, tile_name(kernel, cell.tile));
    row.set(Column::Phase, phase_name(cell.phase));
    row.set(Column::Threads, cell.threads);
    if (cell.level == Level::Kernel) {
        row.set(Column::N, cell.shape.n);
        row.set(Column::K, cell.shape.k);
        row.set(Column::Batch, cell.batch);
        if (cell.zeros > 0) row.set(Column::ActivationZeros, cell.zeros, 4);
        row.set(Column::CacheMode, cache_name(cell.cache));
    } else {
        row.set(Column::Model, cell.model.stem().string());
        row.set(Column::ModelFileBytes, cell.model_file_bytes);
        row.set(Column::Batch, cell.phase == Phase::Prefill ? cell.tokens : 1);
        row.set(Column::DepthTokens, cell.depth);
        row.set(Column::CacheMode, "stream");
    }
    if (cell.phase == Phase::Decode) row.set(Column::CallsPerRepetition, cell.tokens);
    return row;
}

double predicted_call_seconds(const Cell& cell) {
    // 0.2 GMAC/s per thread: a scalar kernel in a debug build. A token of any model may also have
    // to come from a disk.
    return 0.01 + cell.work_macs / 0.2e9 / cell.threads;
}

uint64_t repetition_weight(const Cell& cell) {
    const double macs_per_s = std::string_view(cell.kernel->isa) == "scalar" ? 0.5e9 : 25e9;
    const double calls = cell.phase == Phase::Decode ? static_cast<double>(cell.tokens) : 1;
    // The share of a repetition in packing, copying and measuring ceilings.
    const uint64_t fixed = cell.level == Level::Kernel && cell.cache == CacheMode::Cold ? 20 : 5;
    return fixed + static_cast<uint64_t>(100 * calls * cell.work_macs / macs_per_s / cell.threads);
}

}  // namespace tritbench
