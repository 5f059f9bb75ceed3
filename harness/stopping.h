// When the repetitions of a cell end: a state machine over rounds, without a clock of its own.
//
// A round times every open item once, so that sample i of any item is of round i and samples of
// one round are pairs. Without a precision every item ends after its number of repetitions. With
// one, an item ends once the 95% interval of its median is within it, which takes more care than
// it seems: who looks again and again until an interval is narrow quotes one that is narrow by
// luck, and misses the median more often than 5 times in 100. Hence
//
//   - looks are few: at the item's repetitions and then whenever they have doubled;
//   - look k (from 1) asks for the confidence 1 - 0.05 / 2^k. The risks of all looks together,
//     0.05 (1/2 + 1/4 + ...), stay below 0.05 whatever the rule that stops. It costs little: the
//     interval of the fourth look, at 99.7%, is half as wide again as one at 95% would be, and
//     the interval of the first hardly wider.
//
// confidence() is that of the interval that may be quoted with at least 95% when an item has ended:
// of the look that ended it, or of the next one where repetitions or budget did.
//
// Where the budget does not suffice for all open items to come to their next look, the items with
// the widest intervals go on and the narrowest end: they never come back, so that pairs stay pairs.
// Until their first look items go on together. When not even a round fits what is left, all end.
// The first round is always made: a budget is exceeded by a round at most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace tritbench {

// With a precision asked, an item ends after so many times its repetitions at the latest.
inline constexpr int kMostDoublings = 7;

struct StoppingRules {
    double precision = 0;  // half width of the interval over the median: 0.01 is 1%; 0: none asked
    double budget_s = 0;   // of all rounds together; 0: no limit
};

enum class EndReason { Open, Precision, Repetitions, Budget, Dropped };
// "precision", "repetitions", "budget"; "" for the others.
std::string_view end_reason_name(EndReason reason);

class Stopping {
  public:
    // `repetitions` of each item, above 0 where it is to be timed at all: without a precision their
    // number, with one the first look.
    Stopping(std::span<const int> repetitions, const StoppingRules& rules);

    // `item` is what all others are compared with, `twin` the same once more: both are in every
    // round, also when the item itself has ended. The twin is never looked at. Before the first
    // round.
    void control(size_t item, size_t twin);

    // The items of the next round, in ascending order; empty: all have ended. `spent_s`: of the
    // budget, by all rounds so far.
    std::vector<size_t> next_round(double spent_s);

    // The sample of an item in this round, and what taking it cost with all that belongs to it.
    void add(size_t item, double sample, double cost_s);
    // An item that cannot go on.
    void drop(size_t item);

    EndReason reason(size_t item) const { return items_[item].reason; }
    const std::vector<double>& samples(size_t item) const { return items_[item].samples; }
    double confidence(size_t item) const;
    // Half width over the median, with that confidence; nothing with too few samples.
    std::optional<double> half_width(size_t item) const;

  private:
    struct Item {
        int next_look = 0;  // in samples
        int looks = 0;      // that have been
        int most = 0;
        double cost_s = 0;  // of all its samples
        std::vector<double> samples;
        EndReason reason = EndReason::Open;
    };
    static double repetition_s(const Item& item);    // mean cost
    static double missing_rounds(const Item& item);  // until its next look
    bool is_twin(size_t item) const { return twin_ && *twin_ == item; }
    double company_s() const;  // of a round, for what is in it only to be compared with
    void look(Item& item);
    void fit_budget(double left_s);
    std::vector<size_t> open() const;  // by their own reasons, without the twin

    StoppingRules rules_;
    std::vector<Item> items_;
    std::optional<size_t> controlled_, twin_;
};

// Rounds until all items have ended, each in a random order. visit(item, round) times an item and
// returns the sample, or nothing where it cannot go on; `clock_ns` is read before and after.
void run_rounds(Stopping& stopping, uint64_t seed, const std::function<int64_t()>& clock_ns,
                const std::function<std::optional<double>(size_t item, int round)>& visit);

}  // namespace tritbench
