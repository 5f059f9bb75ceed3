#include "harness/logits_agreement.h"

#include <fmt/format.h>

#include "kernels/api/registry.h"

namespace tritbench {
namespace {

// Rows of one key have equal logits: the same tokens end at the same position, with the same LM
// head and KV cache, and the same scales (a format that keeps halves has a model of its own, and
// so has a plan that may mix them; a layout that rounds weights rounds its own way).
std::string weights_kept(const Row& row) {
    if (row[Column::Kernel] == "mixed") return row[Column::Plan];
    const tb_kernel* kernel = find_kernel(row[Column::Kernel]);
    if (kernel == nullptr) return "f32";
    if (kernel->weight_kind != TB_WEIGHT_TERNARY) return kernel->layout;
    return kernel->scale_type == TB_SCALE_F16 ? "f16" : "f32";
}

std::string logits_key(const Row& row) {
    double tokens = 0;
    for (const Column part : {Column::PromptTokens, Column::GeneratedTokens, Column::DepthTokens}) {
        tokens += row.number(part).value_or(0);
    }
    return fmt::format("{} {} {} {} {} {} {} {}", row[Column::Model], row[Column::ModelFileBytes],
                       row[Column::LayersDistinct], row[Column::LayersRun], tokens,
                       row[Column::HeadType], row[Column::CacheType], weights_kept(row));
}

}  // namespace

void LogitsAgreement::remember(const Row& row) {
    if (row[Column::LogitsHash].empty() || row[Column::Exactness] != "exact") return;
    logits_.try_emplace(logits_key(row), row[Column::Kernel], row[Column::LogitsHash]);
}

std::string LogitsAgreement::problem(const Row& row) const {
    if (row[Column::LogitsHash].empty() || row[Column::Exactness] != "exact") return "";
    const auto known = logits_.find(logits_key(row));
    if (known == logits_.end() || known->second.second == row[Column::LogitsHash]) return "";
    return fmt::format("logits {} differ from {} of {}, which must be equal bit for bit",
                       row[Column::LogitsHash], known->second.second, known->second.first);
}

}  // namespace tritbench
