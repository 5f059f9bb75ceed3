// One plan inside one model with one thread pool: its session, its proofs, one repetition.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/cell.h"
#include "harness/model_observers.h"
#include "harness/timeline.h"
#include "harness/verify/proof.h"
#include "model/transformer.h"

namespace tritbench {

// Cells of equal keys share a session.
std::string session_key(const Cell& cell);
// Enlarges a session so that the cell fits.
void include(SessionSize& size, const Cell& cell);

// Where a repetition leaves its times; null: not wanted.
struct RepetitionTimes {
    std::vector<double>* samples = nullptr;      // ns of the prompt, of each step, or of the whole
    std::vector<double>* first_token = nullptr;  // ns until the logits of the prompt's last token
    Timeline* timeline = nullptr;                // of each sample
    SkippedWeights* skipped = nullptr;           // instead of a timeline
};

// What a repetition ended with.
struct RepetitionEnd {
    uint64_t hash = 0;      // of the logits of the last token, of the first sequence
    uint64_t all_hash = 0;  // of those of every sequence
    std::string problem;    // why the logits cannot be right: not finite, or all equal
};

class ModelRun {
  public:
    ModelRun(std::shared_ptr<const Model> model, std::shared_ptr<const Plan> plan, ThreadPool& pool,
             const SessionSize& size, uint64_t seed);

    // Proves products of m tokens on the model's own packed bytes, each with the kernel that the
    // plan has for it: a layer of each kind from the middle, then the first and the last layer, as
    // many as fit a short time but at least one.
    ProofResult prove(int64_t m, const std::function<void()>& alive);

    // Runs the cell once.
    RepetitionEnd repeat(const Cell& cell, const RepetitionTimes& to = {});

    // After repeat() of a decode cell: computes the tokens of each sequence once more, alone, and
    // compares the last logits bit by bit. Empty: equal.
    std::string prove_sequences(const Cell& cell, const std::function<void()>& alive);

    // Bytes that a step of a decode cell reads with all layers: linear layers and LM head once, the
    // KV cache of every sequence at mean depth.
    uint64_t bytes_per_step(const Cell& cell) const;

    const Model& model() const { return *model_; }
    // What times of layers are multiplied with: more than 1 where not all layers are run.
    double layer_factor() const;

  private:
    void add_sample(const RepetitionTimes& to, double ns);
    void go_to(int64_t sequence, int64_t position);
    std::span<const int32_t> tokens(int64_t sequence, int64_t begin, int64_t count) const;
    std::span<const float> step(const Cell& cell, int64_t position);
    void run_prompt(const Cell& cell, const RepetitionTimes& to);
    void run_decode(const Cell& cell, const RepetitionTimes& to);

    std::shared_ptr<const Model> model_;
    std::shared_ptr<const Plan> plan_;
    ThreadPool& pool_;
    uint64_t seed_;
    Session session_;
    std::vector<std::vector<int32_t>> tokens_;  // of each sequence
    std::vector<int32_t> next_;                 // one of each, for a step
    std::span<const float> logits_;             // of the last call
    OutsideLayers outside_;                     // of a sample, where not all layers are run
    std::map<std::string, CellProof> proofs_;
    ProductScratch scratch_;
};

}  // namespace tritbench
