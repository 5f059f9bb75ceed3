#include "harness/stopping.h"

#include <algorithm>
#include <limits>
#include <random>

#include "harness/statistics.h"

namespace tritbench {
namespace {

constexpr double kAllRisk = 1 - kUsualConfidence;

// Of the intervals of look `look`, from 1.
double look_confidence(int look) {
    return 1 - kAllRisk / static_cast<double>(int64_t{1} << std::min(look, 60));
}

}  // namespace

std::string_view end_reason_name(EndReason reason) {
    switch (reason) {
        case EndReason::Precision:
            return "precision";
        case EndReason::Repetitions:
            return "repetitions";
        case EndReason::Budget:
            return "budget";
        case EndReason::Open:
        case EndReason::Dropped:
            break;
    }
    return "";
}

Stopping::Stopping(std::span<const int> repetitions, const StoppingRules& rules) : rules_(rules) {
    for (const int count : repetitions) {
        Item item;
        item.next_look = count;
        item.most = rules.precision > 0 ? count << kMostDoublings : count;
        if (count <= 0) item.reason = EndReason::Repetitions;
        items_.push_back(std::move(item));
    }
}

void Stopping::control(size_t item, size_t twin) {
    controlled_ = item;
    twin_ = twin;
}

std::vector<size_t> Stopping::open() const {
    std::vector<size_t> out;
    for (size_t i = 0; i < items_.size(); ++i) {
        if (items_[i].reason == EndReason::Open && !is_twin(i)) out.push_back(i);
    }
    return out;
}

std::vector<size_t> Stopping::next_round(double spent_s) {
    const bool begun = std::any_of(items_.begin(), items_.end(),
                                   [](const Item& item) { return !item.samples.empty(); });
    if (rules_.budget_s > 0 && begun) fit_budget(rules_.budget_s - spent_s);
    std::vector<size_t> round = open();
    if (round.empty()) return round;
    for (const auto& companion : {controlled_, twin_}) {
        if (!companion || items_[*companion].reason == EndReason::Dropped) continue;
        const auto place = std::lower_bound(round.begin(), round.end(), *companion);
        if (place == round.end() || *place != *companion) round.insert(place, *companion);
    }
    return round;
}

double Stopping::repetition_s(const Item& item) {
    return item.cost_s / static_cast<double>(std::max<size_t>(1, item.samples.size()));
}

double Stopping::missing_rounds(const Item& item) {
    return static_cast<double>(item.next_look - static_cast<int>(item.samples.size()));
}

double Stopping::company_s() const {
    double seconds = twin_ ? repetition_s(items_[*twin_]) : 0;
    if (controlled_ && items_[*controlled_].reason != EndReason::Open) {
        seconds += repetition_s(items_[*controlled_]);
    }
    return seconds;
}

void Stopping::fit_budget(double left_s) {
    // Before the first look nothing is known: these go on together, or not at all.
    const double company = company_s();
    double round_s = company, looks_s = 0, rounds = 0;
    std::vector<std::pair<double, size_t>> looked;  // half width, item
    std::vector<size_t> young;
    for (const size_t i : open()) {
        const Item& item = items_[i];
        if (item.looks > 0) {
            const double infinite = std::numeric_limits<double>::infinity();
            looked.emplace_back(half_width(i).value_or(infinite), i);
            continue;
        }
        young.push_back(i);
        round_s += repetition_s(item);
        looks_s += repetition_s(item) * missing_rounds(item);
        rounds = std::max(rounds, missing_rounds(item));
    }
    if (round_s > left_s) {
        for (const size_t i : young) items_[i].reason = EndReason::Budget;
        young.clear();
        looks_s = rounds = 0;
    }
    std::sort(looked.begin(), looked.end(), [](const auto& a, const auto& b) {
        return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    // The widest of all goes on as long as there is time for one more of it.
    bool alone = young.empty();
    for (const auto& [width, i] : looked) {
        const double each = repetition_s(items_[i]), missing = missing_rounds(items_[i]);
        const double need_s =
            alone ? each + company : looks_s + each * missing + company * std::max(rounds, missing);
        if (need_s > left_s) {
            items_[i].reason = EndReason::Budget;
            continue;
        }
        looks_s += each * missing;
        rounds = std::max(rounds, missing);
        alone = false;
    }
}

void Stopping::add(size_t item, double sample, double cost_s) {
    Item& it = items_[item];
    it.samples.push_back(sample);
    it.cost_s += cost_s;
    if (it.reason != EndReason::Open || is_twin(item)) return;
    if (static_cast<int>(it.samples.size()) >= it.next_look) look(it);
}

void Stopping::look(Item& item) {
    if (rules_.precision > 0) {
        const auto width =
            relative_half_width(summarise(item.samples, look_confidence(item.looks + 1)));
        if (width && *width <= rules_.precision) {
            item.reason = EndReason::Precision;
            return;
        }
    }
    if (static_cast<int>(item.samples.size()) >= item.most) {
        item.reason = EndReason::Repetitions;
        return;
    }
    ++item.looks;
    item.next_look *= 2;
}

void Stopping::drop(size_t item) {
    items_[item].reason = EndReason::Dropped;
}

double Stopping::confidence(size_t item) const {
    return rules_.precision > 0 ? look_confidence(items_[item].looks + 1) : kUsualConfidence;
}

std::optional<double> Stopping::half_width(size_t item) const {
    if (items_[item].samples.empty()) return std::nullopt;
    return relative_half_width(summarise(items_[item].samples, confidence(item)));
}

void run_rounds(Stopping& stopping, uint64_t seed, const std::function<int64_t()>& clock_ns,
                const std::function<std::optional<double>(size_t, int)>& visit) {
    std::mt19937_64 random(seed);
    const int64_t begin = clock_ns();
    const auto seconds = [](int64_t ns) { return static_cast<double>(ns) / 1e9; };
    std::vector<size_t> order;
    for (int round = 0;; ++round) {
        const std::vector<size_t> open = stopping.next_round(seconds(clock_ns() - begin));
        if (open.empty()) return;
        // The order goes on from that of the round before, as a shuffled pack of cards would.
        if (round == 0) order = open;
        std::erase_if(order, [&](size_t item) {
            return !std::binary_search(open.begin(), open.end(), item);
        });
        std::shuffle(order.begin(), order.end(), random);
        for (const size_t item : order) {
            const int64_t before = clock_ns();
            const auto sample = visit(item, round);
            if (sample) {
                stopping.add(item, *sample, seconds(clock_ns() - before));
            } else {
                stopping.drop(item);
            }
        }
    }
}

}  // namespace tritbench
