// Which cells are measured together.
#include <fmt/format.h>

#include <map>

#include "harness/kernel_cells.h"
#include "harness/loaded_models.h"
#include "harness/sweep.h"

namespace tritbench {
namespace {

std::string block_key(const Cell& cell) {
    if (cell.level == Level::Kernel) return "kernel " + kernel_block_key(cell);
    // The modes of one preset stand side by side.
    return "e2e " + (cell.model.preset.empty() ? cell.model.path.string() : cell.model.preset);
}

// Cells with equal keys share weights in memory.
std::string weights_key(const Cell& cell) {
    return cell.level == Level::Kernel ? weight_copies_key(cell) : loaded_weights_key(cell);
}

uint64_t weights_bytes(const Cell& cell, uint64_t last_level_cache) {
    return cell.level == Level::Kernel ? weight_copies_bytes(cell, last_level_cache)
                                       : cell.weight_bytes;
}

}  // namespace

std::vector<Members> make_blocks(const std::vector<Cell>& cells, const Members& members,
                                 uint64_t available_memory, uint64_t last_level_cache) {
    struct Open {
        size_t block;
        uint64_t bytes;
        std::map<std::string, size_t> block_of_weights;
    };
    std::vector<Members> blocks;
    std::map<std::string, Open> open;
    for (const size_t position : members) {
        const Cell& cell = cells[position];
        const std::string weights = weights_key(cell);
        const uint64_t bytes = weights_bytes(cell, last_level_cache);
        auto [it, made] = open.try_emplace(block_key(cell), Open{blocks.size(), 0, {}});
        Open& group = it->second;
        if (made) blocks.emplace_back();
        if (const auto known = group.block_of_weights.find(weights);
            known != group.block_of_weights.end()) {
            blocks[known->second].push_back(position);
            continue;
        }
        if (group.bytes > 0 && group.bytes + bytes > available_memory / 2) {
            group.block = blocks.size();
            group.bytes = 0;
            blocks.emplace_back();
        }
        group.bytes += bytes;
        group.block_of_weights[weights] = group.block;
        blocks[group.block].push_back(position);
    }
    return blocks;
}

}  // namespace tritbench
