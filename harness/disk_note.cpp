#include "harness/disk_note.h"

#include <fmt/format.h>

#include "harness/named_plan.h"
#include "model/linear_shapes.h"
#include "model/printable.h"

namespace tritbench {

uint64_t weights_of_mapped(const Plan& plan, const ModelConfig& config, std::string_view stored,
                           int64_t layers) {
    bool mapped = false;
    for (const LinearShape& linear : linear_shapes(config)) {
        const PlanLayer* layer = plan.find(linear.role, linear.shape());
        mapped = mapped || (layer != nullptr && layer->layout == stored);
    }
    if (!mapped) return 0;
    const auto head =
        2 * static_cast<uint64_t>(config.vocab) * static_cast<uint64_t>(config.hidden);
    return static_cast<uint64_t>(layers) * layer_bytes(plan, config) + head;
}

std::string disk_note(const std::string& file, uint64_t file_bytes, uint64_t weights,
                      uint64_t available) {
    if (weights <= available) return "";
    return fmt::format(
        "{}: {:.1f} GB that are used as they lie in the file, {:.1f} GB of memory are available: "
        "weights will be read from the disk at every token; take a smaller format (gen --format, "
        "quantize --type) or a window of the layers (e2e --window, mode layer_window)",
        printable(file, 300), static_cast<double>(file_bytes) / 1e9,
        static_cast<double>(available) / 1e9);
}

}  // namespace tritbench
