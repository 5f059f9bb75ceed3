#include "harness/generation.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/measure.h"
#include "harness/progress.h"
#include "harness/statistics.h"
#include "kernels/api/error.h"
#include "model/logits.h"

namespace tritbench {

namespace {

// An interrupt waits for so many tokens of a prompt at most.
constexpr size_t kPromptPiece = 256;

std::string rate_text(const char* what, size_t tokens, double ns) {
    return fmt::format("{} {} tokens, {:.2f} tokens/s", what, tokens,
                       static_cast<double>(tokens) * 1e9 / ns);
}

}  // namespace

std::string GenerationTimes::text(uint64_t peak_bytes) const {
    std::string out = prompt_tokens == 0 ? "prefill 0 tokens"
                                         : rate_text("prefill", static_cast<size_t>(prompt_tokens),
                                                     static_cast<double>(prompt_ns));
    out += "; ";
    if (token_ns.empty()) {
        out += "decode 0 tokens";
    } else {
        double sum = 0;
        for (const double ns : token_ns) sum += ns;
        out += rate_text("decode", token_ns.size(), sum);
        out += fmt::format(", ms per token p50 {:.2f} p90 {:.2f} p99 {:.2f}",
                           percentile(token_ns, 0.5) * 1e-6, percentile(token_ns, 0.9) * 1e-6,
                           percentile(token_ns, 0.99) * 1e-6);
    }
    const auto bytes = static_cast<double>(peak_bytes);
    return out + (bytes < 1e9 ? fmt::format("; peak memory {:.1f} MB", bytes * 1e-6)
                              : fmt::format("; peak memory {:.2f} GB", bytes * 1e-9));
}

Generation::Generation(Session& session, const Tokenizer& tokenizer, Sampler& sampler,
                       int64_t context)
    : session_(session), tokenizer_(tokenizer), sampler_(sampler), context_(context) {}

// The logits of the tokens that the tokenizer knows: an embedding may have been padded.
std::span<const float> Generation::forward(std::span<const int32_t> tokens) {
    const std::span<const float> logits = session_.forward(tokens);
    held_.insert(held_.end(), tokens.begin(), tokens.end());
    if (const std::string problem = logits_problem(logits); !problem.empty()) {
        throw Error(
            fmt::format("after {} tokens: {}; the model's weights or scales are not as "
                        "they should be",
                        held_.size(), problem));
    }
    return logits.first(std::min(logits.size(), static_cast<size_t>(tokenizer_.size())));
}

// False when interrupted.
bool Generation::prefill(std::span<const int32_t> tokens) {
    // The last token is always computed: its logits are needed.
    const auto [held, given] =
        std::mismatch(held_.begin(), held_.end(), tokens.begin(), tokens.end() - 1);
    held_.erase(held, held_.end());
    session_.truncate(static_cast<int64_t>(held_.size()));
    for (std::span<const int32_t> rest = tokens.subspan(held_.size()); !rest.empty();) {
        if (interrupted()) return false;
        const std::span<const int32_t> piece = rest.first(std::min(kPromptPiece, rest.size()));
        const int64_t begin = now_ns();
        logits_ = forward(piece);
        times_.prompt_ns += now_ns() - begin;
        times_.prompt_tokens += static_cast<int64_t>(piece.size());
        for (const int32_t token : piece) sampler_.accept(token);
        rest = rest.subspan(piece.size());
    }
    return true;
}

StopReason Generation::answer(std::span<const int32_t> tokens, int64_t most,
                              const std::function<void(std::string_view)>& show) {
    if (tokens.empty()) throw Error("prompt: no tokens; expected at least one");
    if (static_cast<int64_t>(tokens.size()) > context_) return StopReason::ContextFull;
    if (!prefill(tokens)) return StopReason::Interrupted;
    Utf8Stream characters;
    StopReason reason = StopReason::TokenLimit;
    for (int64_t count = 0; count < most;) {
        const int64_t begin = now_ns();
        const int32_t token = sampler_.next(logits_);
        const int64_t chosen = now_ns();
        sampler_.accept(token);
        if (tokenizer_.ends_answer(token)) {
            reason = StopReason::EndOfAnswer;
            break;
        }
        if (!tokenizer_.is_control(token)) show(characters.push(tokenizer_.piece(token)));
        if (++count == most) break;
        if (interrupted()) {
            reason = StopReason::Interrupted;
            break;
        }
        if (session_.position() == context_) {
            reason = StopReason::ContextFull;
            break;
        }
        const int64_t resumed = now_ns();
        logits_ = forward({&token, 1});
        times_.token_ns.push_back(static_cast<double>(chosen - begin + now_ns() - resumed));
    }
    show(characters.finish());
    return reason;
}

}  // namespace tritbench
