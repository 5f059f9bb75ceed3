// The cells of complete models.
#include <fmt/format.h>

#include <algorithm>

#include "dummy_models/presets.h"
#include "harness/axes.h"
#include "harness/axes_reasons.h"
#include "harness/disk_note.h"
#include "harness/environment.h"
#include "harness/named_plan.h"
#include "kernels/api/registry.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

// How one model is run: the part of a cell that many phases share.
struct Setting {
    const ModelSource* model;
    std::shared_ptr<const Plan> plan;
    std::string head;
    CacheType cache_type;
    int threads;
    std::string pins;
};

struct Test {
    Phase phase;
    int64_t prompt, generated, depth, sequences, prefill_batch;
};

uint64_t head_weights(const ModelConfig& c) {
    return static_cast<uint64_t>(c.vocab) * static_cast<uint64_t>(c.hidden);
}

KernelUse& use_of(std::vector<KernelUse>& uses, const PlanCall& call) {
    const auto known = std::find_if(uses.begin(), uses.end(), [&](const KernelUse& use) {
        return use.kernel == call.kernel &&
               tile_name(*use.kernel, use.tile) == tile_name(*call.kernel, call.tile);
    });
    if (known != uses.end()) return *known;
    uses.push_back({call.kernel, call.tile, 0});
    return uses.back();
}

std::string why_not_call(const PlanCall& call, const tb_shape& shape) {
    return first_of(why_not_here(*call.kernel), not_accepted(*call.kernel, shape, call.tile));
}

// Fills in kernels, weight_bytes, and why a layer cannot be run.
void add_kernels(Cell& cell, const ModelSource& model) {
    const std::vector<int64_t> batches = timed_batches(cell);
    const auto blocks = static_cast<uint64_t>(model.config.layers);
    for (const LinearShape& linear : linear_shapes(model.config)) {
        const tb_shape shape{linear.n, linear.k};
        const PlanLayer* layer = cell.plan->find(linear.role, shape);
        if (layer == nullptr) {
            cell.unavailable = first_of(
                cell.unavailable, fmt::format("plan {} has no layer for {} ({}x{})",
                                              cell.plan->name, linear.role, shape.n, shape.k));
            continue;
        }
        for (const PlanCall& call : layer->calls) {
            use_of(cell.kernels, call);
            cell.unavailable = first_of(cell.unavailable, why_not_call(call, shape));
        }
        for (const int64_t m : batches) {
            use_of(cell.kernels, call_for(layer->calls, m)).timed_weights +=
                blocks * static_cast<uint64_t>(shape.n * shape.k);
        }
        const PlanCall& packer = layer->calls.back();
        // Bytes of the file that are in the kernel's layout are mapped, not repacked.
        if (layer->layout == model.layout) continue;
        cell.weight_bytes += static_cast<uint64_t>(cell.layers_distinct()) *
                             packer.kernel->packed_size(&shape, &packer.tile);
    }
    if (model.drawn()) {
        cell.weight_bytes += 2 * head_weights(model.config);  // the embedding, float16
    } else {
        cell.mapped_weights =
            weights_of_mapped(*cell.plan, model.config, model.layout, cell.layers_distinct());
    }
    if (cell.kernels.empty()) return;
    const auto most = std::max_element(
        cell.kernels.begin(), cell.kernels.end(),
        [](const auto& a, const auto& b) { return a.timed_weights < b.timed_weights; });
    std::rotate(cell.kernels.begin(), most, std::next(most));
}

std::string too_long(const Cell& cell, const ModelConfig& config) {
    if (cell.depth + cell.tokens() <= config.context) return "";
    return fmt::format("needs a context of {} tokens, the model has {}", cell.depth + cell.tokens(),
                       config.context);
}

std::string no_memory(const Cell& cell) {
    const uint64_t have = available_memory_bytes();
    if (cell.weight_bytes <= have) return "";
    return fmt::format("needs {:.1f} GB for its weights, {:.1f} GB are available",
                       static_cast<double>(cell.weight_bytes) / 1e9,
                       static_cast<double>(have) / 1e9);
}

Cell model_cell(const ModelAxes& axes, const Setting& setting, const Test& test) {
    const ModelSource& model = *setting.model;
    Cell cell;
    cell.level = Level::EndToEnd;
    cell.phase = test.phase;
    cell.threads = setting.threads;
    cell.pins = setting.pins;
    cell.repetitions = axes.repetitions;
    cell.model = model.info;
    cell.mode = model.mode;
    if (model.drawn()) cell.drawn = model.dummy;
    cell.layers = model.config.layers;
    cell.plan = setting.plan;
    cell.load = model.load;
    cell.load.head = setting.head;
    if (!setting.head.empty()) cell.model.head_type = setting.head;
    cell.cache_type = setting.cache_type;
    cell.prompt = test.prompt;
    cell.generated = test.generated;
    cell.depth = test.depth;
    cell.sequences = test.sequences;
    cell.prefill_batch = test.prefill_batch;
    cell.spec = axes.spec;
    const auto linear = static_cast<double>(count_parameters(model.config).linear);
    const auto head = static_cast<double>(head_weights(model.config));
    // Logits of a prompt's last token, and of every token that is decoded.
    const auto layer_tokens = static_cast<double>(
        test.phase == Phase::Decode ? test.sequences : test.prompt + test.generated);
    const auto head_tokens =
        static_cast<double>(test.phase == Phase::Decode ? test.sequences : 1 + test.generated);
    cell.linear_macs = linear * layer_tokens;
    cell.work_macs = cell.linear_macs + head * head_tokens;
    cell.unavailable =
        first_of(too_many_threads(cell.threads), not_these_pins(cell.pins, cell.threads));
    add_kernels(cell, model);
    cell.unavailable = first_of(cell.unavailable, too_long(cell, model.config), no_memory(cell));
    return cell;
}

void add_tests(const ModelAxes& axes, const Setting& setting, int64_t depth,
               std::vector<Cell>& cells) {
    for (const int64_t batch : axes.prefill_batches) {
        for (const int64_t tokens : axes.prefill) {
            cells.push_back(
                model_cell(axes, setting, {Phase::Prefill, tokens, 0, depth, 1, batch}));
        }
    }
    for (const int64_t sequences : axes.sequences) {
        for (const int64_t tokens : axes.decode) {
            cells.push_back(model_cell(
                axes, setting, {Phase::Decode, 0, tokens, depth, sequences, kPrefillBatch}));
        }
    }
    for (const int64_t batch : axes.prefill_batches) {
        for (const PromptAndTokens& pair : axes.pairs) {
            cells.push_back(
                model_cell(axes, setting,
                           {Phase::PrefillDecode, pair.prompt, pair.generated, depth, 1, batch}));
        }
    }
}

// The plans that a model is run with: of kernels, then by name. A model that is not there yet is
// only listed, not run: any plan will do.
std::vector<std::shared_ptr<const Plan>> plans_of(const ModelAxes& axes, const ModelSource& model) {
    std::vector<std::shared_ptr<const Plan>> plans;
    for (const tb_kernel* kernel : axes.kernels) {
        plans.push_back(std::make_shared<const Plan>(plan_of_kernel(*kernel)));
    }
    if (axes.plans.empty()) return plans;
    if (model.drawn()) {
        for (const std::string& name : axes.plans) {
            plans.push_back(std::make_shared<const Plan>(plan_named(name, model.config)));
        }
        return plans;
    }
    std::unique_ptr<const GgufFile> file;
    if (fs::exists(model.info.path)) file = std::make_unique<GgufFile>(model.info.path);
    for (const std::string& name : axes.plans) {
        Plan plan;
        if (file != nullptr) {
            plan = plan_named(name, *file, model.load);
        } else {
            plan = plan_of_kernel(*best_kernel_of_layout(model.layout));
            plan.name = name;
        }
        plans.push_back(std::make_shared<const Plan>(std::move(plan)));
    }
    return plans;
}

}  // namespace

std::vector<Cell> model_cells(const ModelAxes& axes) {
    std::vector<Cell> cells;
    for (const ModelSource& model : axes.models) {
        const auto plans = plans_of(axes, model);
        for (const int threads : axes.threads) {
            for (const int64_t depth : axes.depths) {
                for (const CacheType cache_type : axes.cache_types) {
                    for (const std::string& head : axes.heads) {
                        for (const auto& plan : plans) {
                            for (const std::string& pins : axes.pins) {
                                add_tests(axes, {&model, plan, head, cache_type, threads, pins},
                                          depth, cells);
                            }
                        }
                    }
                }
            }
        }
    }
    axes.selection.apply(cells);
    return cells;
}

}  // namespace tritbench
