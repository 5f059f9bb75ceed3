#include "harness/tune/model_ab.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

#include "harness/measure.h"
#include "harness/pins.h"
#include "harness/statistics.h"
#include "harness/tune/race.h"
#include "harness/verify/random_data.h"
#include "kernels/api/error.h"
#include "model/printable.h"
#include "model/thread_pool.h"

namespace tritbench {

namespace {

constexpr int64_t kDepth = 16;  // tokens before those that are decoded
constexpr double kPromptTokens = 512, kDecodedTokens = 128;

// One plan's model and session.
class Side {
  public:
    Side(std::shared_ptr<const Model> model, const Plan& plan, ThreadPool& pool, int64_t context,
         int64_t batch)
        : session_(std::move(model), plan, pool, {context, batch, 1, CacheType::F16}) {}

    // Nanoseconds of a token of a prompt.
    double prefill(std::span<const int32_t> tokens) {
        session_.reset();
        const int64_t begin = now_ns();
        session_.forward(tokens);
        return static_cast<double>(now_ns() - begin) / static_cast<double>(tokens.size());
    }

    // Nanoseconds of one of the tokens, one after the other at kDepth.
    double decode(std::span<const int32_t> tokens) {
        session_.truncate(std::min(kDepth, session_.position()));
        const int64_t begin = now_ns();
        for (const int32_t& token : tokens) session_.forward({&token, 1});
        return static_cast<double>(now_ns() - begin) / static_cast<double>(tokens.size());
    }

    std::vector<float> logits(std::span<const int32_t> tokens) {
        session_.reset();
        const std::span<const float> last = session_.forward(tokens);
        return {last.begin(), last.end()};
    }

  private:
    Session session_;
};

std::vector<int32_t> random_tokens(int64_t count, int64_t vocab, uint64_t seed) {
    RandomStream random(seed);
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>(random.below(vocab)));
    return tokens;
}

class Comparison {
  public:
    Comparison(const AbOptions& options, const TuneReport& report)
        : options_(options), report_(report) {}

    void tell(const std::string& what) const {
        if (!report_("whole model: " + what)) throw TuneInterrupted{};
    }

    // One repetition of each side is the warm-up.
    AbPhase measure(const char* what, const std::function<double()>& ours,
                    const std::function<double()>& standard) const {
        ours();
        standard();
        AbPhase phase;
        const int64_t begin = now_ns();
        for (int i = 0; i < options_.most_pairs; ++i) {
            const double spent = static_cast<double>(now_ns() - begin) * 1e-9;
            if (i >= options_.least_pairs && spent > options_.seconds / 2) break;
            tell(fmt::format("{}, pair {}", what, i + 1));
            if (i % 2 == 0) phase.ours_ns.push_back(ours());
            phase.standard_ns.push_back(standard());
            if (i % 2 != 0) phase.ours_ns.push_back(ours());
        }
        const Summary gain = paired_ratio(phase.standard_ns, phase.ours_ns);
        phase.gain = {gain.median, gain.ci95};
        phase.ours = 1e9 / median(phase.ours_ns);
        phase.standard = 1e9 / median(phase.standard_ns);
        return phase;
    }

  private:
    const AbOptions& options_;
    const TuneReport& report_;
};

}  // namespace

AbResult compare_plans(const std::shared_ptr<const GgufFile>& file, const LoadOptions& load,
                       const Plan& ours, const Plan& standard, bool same_layouts,
                       const AbOptions& options, const TuneReport& report) {
    const Comparison comparison(options, report);
    ThreadPool pool(options.threads, pins_here(options.threads, options.pins));
    comparison.tell("loading");
    const auto ours_model = Model::load(file, ours, pool, {}, load);
    const auto standard_model =
        same_layouts ? ours_model : Model::load(file, standard, pool, {}, load);
    const ModelConfig& config = ours_model->config();
    const int64_t prompt = std::min(options.prompt, config.context);
    const int64_t depth = std::min(kDepth, config.context - 1);
    const int64_t decoded = std::min(options.decoded, config.context - depth);
    const int64_t context = std::max(prompt, depth + decoded);
    Side a(ours_model, ours, pool, context, prompt);
    Side b(standard_model, standard, pool, context, prompt);

    const auto tokens = random_tokens(prompt, config.vocab, options.seed);
    const auto after = random_tokens(decoded, config.vocab, options.seed + 1);
    const std::span<const int32_t> before =
        std::span(tokens).first(static_cast<size_t>(std::min<int64_t>(depth, prompt)));
    comparison.tell("comparing logits");
    const std::vector<float> x = a.logits(before), y = b.logits(before);
    if (options.same_logits && std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) != 0) {
        throw Error(
            fmt::format("{}: the tuned plan gives other logits than the default; expected "
                        "the same from exact kernels: run 'tritbench verify'",
                        printable(file->path().string(), 300)));
    }
    AbResult result;
    result.decode = comparison.measure(
        "decode", [&] { return a.decode(after); }, [&] { return b.decode(after); });
    result.prefill = comparison.measure(
        "prefill", [&] { return a.prefill(tokens); }, [&] { return b.prefill(tokens); });
    return result;
}

Gain balanced_gain(const AbResult& result) {
    const size_t pairs = std::min(result.decode.ours_ns.size(), result.prefill.ours_ns.size());
    std::vector<double> ours, standard;
    for (size_t i = 0; i < pairs; ++i) {
        ours.push_back(kDecodedTokens * result.decode.ours_ns[i] +
                       kPromptTokens * result.prefill.ours_ns[i]);
        standard.push_back(kDecodedTokens * result.decode.standard_ns[i] +
                           kPromptTokens * result.prefill.standard_ns[i]);
    }
    const Summary gain = paired_ratio(standard, ours);
    return {gain.median, gain.ci95};
}

Confirmed confirmed(const AbResult& result, Goal goal, bool same_layouts) {
    if (same_layouts) {
        return {result.decode.gain.beyond_doubt(), result.prefill.gain.beyond_doubt()};
    }
    const Gain gain = goal == Goal::Decode    ? result.decode.gain
                      : goal == Goal::Prefill ? result.prefill.gain
                                              : balanced_gain(result);
    return {gain.beyond_doubt(), gain.beyond_doubt()};
}

}  // namespace tritbench
