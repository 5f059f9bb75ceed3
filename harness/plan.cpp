#include "harness/plan.h"

#include <fmt/format.h>

#include "dummy_models/generator.h"
#include "dummy_models/presets.h"
#include "harness/environment.h"
#include "harness/model_cells.h"
#include "harness/progress.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/gguf.h"
#include "model/thread_pool.h"
#include "model/transformer.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

std::string too_many_threads(int threads) {
    const size_t cpus = allowed_cpus().size();
    if (static_cast<size_t>(threads) <= cpus) return "";
    return fmt::format("asks {} threads, {} CPUs allowed", threads, cpus);
}

std::string not_accepted(const tb_kernel& kernel, const tb_shape& shape, const tb_tile& tile) {
    const tb_status status = kernel.accepts(&shape, &tile);
    if (status.code == TB_OK) return "";
    return fmt::format("does not take {}x{}: {}", shape.n, shape.k,
                       status.reason != nullptr ? status.reason : "no reason given");
}

std::string not_this_batch(const tb_kernel& kernel, int64_t batch) {
    if (batch == 1 || (batch >= kernel.min_m && (kernel.max_m == 0 || batch <= kernel.max_m))) {
        return "";
    }
    return fmt::format("multiplies {} to {} tokens at once, not {}", kernel.min_m, kernel.max_m,
                       batch);
}

// The first text that is not empty.
template <class... Texts>
std::string first_of(const Texts&... texts) {
    std::string found;
    ((found = found.empty() ? texts : found), ...);
    return found;
}

std::string no_memory(const Cell& cell, const ModelSource& model) {
    // Bytes of the file that are in the kernel's layout are mapped, not repacked.
    if (cell.kernel->layout == model.layout) return "";
    const uint64_t need = cell.weight_bytes;
    const uint64_t have = available_memory_bytes();
    if (need <= have) return "";
    return fmt::format("needs {:.1f} GB for its weights, {:.1f} GB are available",
                       static_cast<double>(need) / 1e9, static_cast<double>(have) / 1e9);
}

std::string cannot_run(const Cell& cell, const ModelSource& model) {
    std::string reason = first_of(why_not_here(*cell.kernel), too_many_threads(cell.threads));
    for (const LinearShape& layer : linear_shapes(model.config)) {
        if (!reason.empty()) return reason;
        reason = not_accepted(*cell.kernel, {layer.n, layer.k}, cell.tile);
    }
    if (reason.empty() && cell.depth + cell.tokens > model.config.context) {
        reason = fmt::format("needs a context of {} tokens, the model has {}",
                             cell.depth + cell.tokens, model.config.context);
    }
    return first_of(reason, no_memory(cell, model));
}

Cell model_cell(const ModelAxes& axes, const ModelSource& model, const tb_kernel& kernel,
                int threads, Phase phase, int64_t tokens, int64_t depth) {
    Cell cell;
    cell.level = Level::EndToEnd;
    cell.kernel = &kernel;
    cell.tile = default_tile(kernel);
    cell.phase = phase;
    cell.threads = threads;
    cell.repetitions = axes.repetitions;
    cell.model = model.path;
    cell.model_file_bytes = model.file_bytes;
    cell.load = model.load;
    cell.tokens = tokens;
    cell.depth = depth;
    cell.weight_bytes = packed_model_bytes(model.config, kernel);
    cell.spec = axes.spec;
    const double linear = static_cast<double>(count_parameters(model.config).linear);
    const double head =
        static_cast<double>(model.config.vocab) * static_cast<double>(model.config.hidden);
    cell.work_macs = linear * (phase == Phase::Prefill ? static_cast<double>(tokens) : 1) + head;
    cell.unavailable = cannot_run(cell, model);
    return cell;
}

}  // namespace

std::vector<Cell> kernel_cells(const KernelAxes& axes) {
    std::vector<Cell> cells;
    const auto add = [&](tb_shape shape, int64_t batch, double zeros, int threads, CacheMode cache,
                         const tb_kernel& kernel, const std::string& tile) {
        Cell cell;
        cell.level = Level::Kernel;
        cell.kernel = &kernel;
        cell.tile = parse_tile(kernel, tile);
        cell.phase = batch == 1 ? Phase::Gemv : Phase::Gemm;
        cell.threads = threads;
        cell.repetitions = axes.repetitions;
        cell.shape = shape;
        cell.batch = batch;
        cell.zeros = zeros;
        cell.cache = cache;
        cell.spec = axes.spec;
        cell.work_macs = static_cast<double>(shape.n) * static_cast<double>(shape.k) *
                         static_cast<double>(batch);
        cell.unavailable =
            first_of(why_not_here(kernel), too_many_threads(threads),
                     not_accepted(kernel, shape, cell.tile), not_this_batch(kernel, batch));
        cells.push_back(std::move(cell));
    };
    const auto add_all = [&](tb_shape shape, int64_t batch, double zeros) {
        for (const int threads : axes.threads) {
            for (const CacheMode cache : axes.caches) {
                for (const tb_kernel* kernel : axes.kernels) {
                    for (const std::string& tile : axes.tiles) {
                        add(shape, batch, zeros, threads, cache, *kernel, tile);
                    }
                }
            }
        }
    };
    for (const tb_shape shape : axes.shapes) {
        for (const int64_t batch : axes.batches) {
            for (const double zeros : axes.zeros) add_all(shape, batch, zeros);
        }
    }
    return cells;
}

std::vector<Cell> model_cells(const ModelAxes& axes) {
    std::vector<Cell> cells;
    for (const ModelSource& model : axes.models) {
        for (const int threads : axes.threads) {
            for (const int64_t depth : axes.depths) {
                for (const tb_kernel* kernel : axes.kernels) {
                    for (const int64_t tokens : axes.prefill) {
                        cells.push_back(model_cell(axes, model, *kernel, threads, Phase::Prefill,
                                                   tokens, depth));
                    }
                    for (const int64_t tokens : axes.decode) {
                        cells.push_back(model_cell(axes, model, *kernel, threads, Phase::Decode,
                                                   tokens, depth));
                    }
                }
            }
        }
    }
    return cells;
}

ModelSource model_file(const fs::path& path, const LoadOptions& load) {
    const GgufFile file(path);
    // A file that may not stay in the page cache is not read twice: loading finds its bad codes.
    const bool stays = file.file_bytes() < available_memory_bytes() / 2;
    ThreadPool pool(static_cast<int>(allowed_cpus().size()), {}, false);
    Model::check(file, stays ? &pool : nullptr, load);
    return {path, "", read_config(file), file.file_bytes(), load, linear_layout(file, load)};
}

ModelSource model_preset(const std::string& preset, const fs::path& folder) {
    const Preset& found = find_preset(preset);
    const std::string& name = found.alias.empty() ? found.name : found.alias;
    const fs::path path = folder / fmt::format("{}-i2_s.gguf", name);
    if (fs::exists(path)) return model_file(path);
    DummyOptions options;
    options.config = found.config;
    ModelSource source;
    source.path = path;
    source.preset = name;
    source.config = found.config;
    source.file_bytes = dummy_file_bytes(options);
    return source;
}

bool generate_missing(const std::vector<ModelSource>& models) {
    for (const ModelSource& model : models) {
        if (model.preset.empty() || fs::exists(model.path)) continue;
        std::error_code problem;
        fs::create_directories(model.path.parent_path(), problem);
        if (problem) {
            throw Error(fmt::format("{}: cannot be made a folder for models: {}",
                                    model.path.parent_path().string(), problem.message()));
        }
        DummyOptions options;
        options.config = model.config;
        ThreadPool pool(static_cast<int>(allowed_cpus().size()), {}, false);
        Progress progress("generating " + model.path.string(), model.file_bytes, "B");
        const auto tick = [&](uint64_t done, uint64_t) {
            progress.update(done);
            return !interrupted();
        };
        if (!generate_dummy(options, model.path, pool, tick)) return false;
        progress.finish();
    }
    return true;
}

}  // namespace tritbench
