// The models of a block in memory, each once for every way its weights are packed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/block.h"
#include "model/transformer.h"

namespace tritbench {

struct LoadedModel {
    std::shared_ptr<const Model> model;
    double load_ms = 0;
};
using LoadedModels = std::map<std::string, LoadedModel>;  // by loaded_weights_key

// Cells of equal keys have their weights packed in the same way: they share a loaded model.
std::string loaded_weights_key(const Cell& cell);

// With all CPUs, from files or drawn; each is a step of the reporter.
LoadedModels load_models(const std::vector<Cell>& cells, const Members& members,
                         ChildReporter& reporter);

}  // namespace tritbench
