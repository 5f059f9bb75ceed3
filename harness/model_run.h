// One kernel inside one model with one thread pool: its session, its proof, one repetition.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/cell.h"
#include "harness/verify/proof.h"
#include "model/transformer.h"

namespace tritbench {

// What the cells of a run need of the session together.
struct RunSize {
    int64_t context = 1;
    int64_t batch = 1;
    void include(const Cell& cell);
};

class ModelRun {
  public:
    ModelRun(std::shared_ptr<const Model> model, const tb_kernel& kernel, ThreadPool& pool,
             const RunSize& size, uint64_t seed);

    // Proves products of m tokens on the model's own packed bytes: a layer of each kind from the
    // middle, then the first and the last layer, as many as fit a short time but at least one.
    ProofResult prove(int64_t m, const std::function<void()>& alive);

    // Runs the cell once and returns the hash of the logits of its last token. Appends the
    // nanoseconds of the prompt, or of each token, to `samples` if given. `problem` is set when
    // the logits cannot be right (not finite, or all equal).
    uint64_t repeat(const Cell& cell, std::vector<double>* samples, std::string* problem);

    // Bytes that one token of a decode cell reads: linear layers, LM head, KV cache at mean depth.
    uint64_t bytes_per_token(const Cell& cell) const;

    const Model& model() const { return *model_; }

  private:
    void go_to(int64_t position);

    std::shared_ptr<const Model> model_;
    const tb_kernel& kernel_;
    ThreadPool& pool_;
    uint64_t seed_;
    Session session_;
    std::vector<int32_t> tokens_;
    std::map<std::string, CellProof> proofs_;
    ProductScratch scratch_;
};

}  // namespace tritbench
