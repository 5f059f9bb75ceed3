// Text from a model, token by token, and how long it took.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/sampler.h"
#include "model/tokenizer/tokenizer.h"
#include "model/transformer.h"

namespace tritbench {

enum class StopReason {
    EndOfAnswer,  // the model chose a token that ends its answer
    TokenLimit,
    ContextFull,
    Interrupted  // see interrupted() in progress.h
};

// Time of prompts and of single tokens. The first token of an answer comes from the prompt's own
// logits, so n tokens have n - 1 times. A token's time is that of choosing it and of computing the
// logits after it, without the time that showing it takes.
struct GenerationTimes {
    int64_t prompt_tokens = 0, prompt_ns = 0;
    std::vector<double> token_ns;

    // "prefill 12 tokens, 31.2 tokens/s; decode 40 tokens, 10.1 tokens/s, ms per token p50 ..."
    std::string text(uint64_t peak_bytes) const;
};

// One conversation: a session, and the tokens that it holds.
class Generation {
  public:
    // `context` is that of the session. All must outlive this object.
    Generation(Session& session, const Tokenizer& tokenizer, Sampler& sampler, int64_t context);

    // Continues the whole text so far, `tokens`: of those that the session holds already, a common
    // beginning is not computed again. Passes the text of at most `most` tokens to `show` (whole
    // UTF-8 characters; control tokens are left out). ContextFull without any text: `tokens` do
    // not fit. Throws Error when the logits are not finite or all equal.
    StopReason answer(std::span<const int32_t> tokens, int64_t most,
                      const std::function<void(std::string_view)>& show);

    const GenerationTimes& times() const { return times_; }

  private:
    bool prefill(std::span<const int32_t> tokens);
    std::span<const float> forward(std::span<const int32_t> tokens);

    Session& session_;
    const Tokenizer& tokenizer_;
    Sampler& sampler_;
    int64_t context_;
    std::vector<int32_t> held_;  // by the session
    std::span<const float> logits_;
    GenerationTimes times_;
};

}  // namespace tritbench
