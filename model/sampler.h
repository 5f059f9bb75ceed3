// Chooses the next token from logits. The filters and their order are llama.cpp's defaults: repeat
// penalty, top-k, top-p, min-p, temperature, draw.
//
// The same tokens on every machine for the same logits: the exponential is tb_ops' own, sums run
// in double in a fixed order, ties go to the lowest id, and draw n uses word n of a counter-based
// generator.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace tritbench {

struct SamplerOptions {
    float temperature = 0.8F;  // 0: the most likely token, and no filter but the penalty matters
    int32_t top_k = 40;        // keep the k most likely tokens; 0: all
    // Keep the most likely tokens whose probabilities first add up to p, at least one (Holtzman et
    // al.: The curious case of neural text degeneration, 2020); 1: all.
    float top_p = 0.95F;
    // Keep tokens at least p times as likely as the most likely one (Nguyen et al.: Min-p sampling,
    // 2024); 0: all.
    float min_p = 0.05F;
    // Positive logits of tokens accepted lately are divided by it, others multiplied (Keskar et
    // al.: CTRL, 2019, with llama.cpp's way with negative logits); 1: none.
    float repeat_penalty = 1.0F;
    int32_t repeat_last_n = 64;  // how many accepted tokens the penalty looks back on
    uint64_t seed = 0;
};

class Sampler {
  public:
    // Throws Error naming the option that is out of range.
    explicit Sampler(const SamplerOptions& options);

    // The next token: an index into logits. Throws Error if there are none or one is not finite.
    // Each call at a temperature above 0 uses up one random number.
    int32_t next(std::span<const float> logits);
    // Tells of a token that became part of the text, chosen by next() or not: the penalty counts
    // it.
    void accept(int32_t token);

  private:
    struct Candidate {
        int32_t id;
        float logit;
        float weight;  // e^((logit - highest) / temperature), at most 1
    };
    void penalise();
    void sort_next(size_t sorted, size_t count);
    void weigh(float temperature);
    double total_weight() const;
    void keep_top_k();
    void keep_top_p();
    void keep_min_p();
    int32_t most_likely() const;
    int32_t draw();

    SamplerOptions options_;
    uint64_t draws_ = 0;
    std::deque<int32_t> recent_;  // at most repeat_last_n
    // Kept between calls for their memory.
    std::vector<Candidate> candidates_;
    std::vector<float> exponents_;
};

}  // namespace tritbench
