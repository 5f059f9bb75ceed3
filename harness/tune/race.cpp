#include "harness/tune/race.h"

#include <algorithm>
#include <numeric>

#include "kernels/api/error.h"

namespace tritbench {

namespace {

double spread(const std::vector<double>& values) {
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    return *most / *least;
}

}  // namespace

Race::Race(size_t candidates, const RaceRules& rules, uint64_t seed)
    : rules_(rules), random_(seed), ns_(candidates), racing_(candidates, true) {
    if (candidates == 0) throw Error("race: no candidates; expected at least one");
}

size_t Race::racing() const {
    return static_cast<size_t>(std::count(racing_.begin(), racing_.end(), true));
}

void Race::round(const std::function<double(size_t)>& time) {
    std::vector<size_t> order;
    for (size_t i = 0; i < ns_.size(); ++i) {
        if (racing_[i]) order.push_back(i);
    }
    std::shuffle(order.begin(), order.end(), random_);
    for (const size_t i : order) ns_[i].push_back(time(i));
    ++rounds_;
    find_leader();
    for (const size_t i : order) {
        if (i != leader_ && lost(i)) racing_[i] = false;
    }
}

// The lowest median of times relative to their round: a slow round does not count more than others.
void Race::find_leader() {
    std::vector<std::vector<double>> relative(ns_.size());
    for (size_t round = 0; round < static_cast<size_t>(rounds_); ++round) {
        std::vector<double> times;
        for (size_t i = 0; i < ns_.size(); ++i) {
            if (racing_[i]) times.push_back(ns_[i][round]);
        }
        const double usual = median(std::move(times));
        for (size_t i = 0; i < ns_.size(); ++i) {
            if (racing_[i]) relative[i].push_back(ns_[i][round] / usual);
        }
    }
    double least = 0;
    bool found = false;
    for (size_t i = 0; i < ns_.size(); ++i) {
        if (!racing_[i]) continue;
        const double middle = median(std::move(relative[i]));
        if (found && middle >= least) continue;
        found = true;
        least = middle;
        leader_ = i;
    }
}

// Its times over those of the leader, as long as it raced.
std::vector<double> Race::ratios(size_t candidate) const {
    std::vector<double> out(ns_[candidate].size());
    for (size_t r = 0; r < out.size(); ++r) out[r] = ns_[candidate][r] / ns_[leader_][r];
    return out;
}

bool Race::lost(size_t candidate) const {
    const std::vector<double> all = ratios(candidate);
    if (rounds_ >= rules_.hopeless_rounds &&
        *std::min_element(all.begin(), all.end()) >= rules_.hopeless &&
        spread(ns_[candidate]) < rules_.hopeless && spread(ns_[leader_]) < rules_.hopeless) {
        return true;
    }
    if (rounds_ < rules_.least_rounds) return false;
    const auto interval = median_interval(all, rules_.confidence);
    return interval && interval->first > 1;
}

bool Race::decided() const {
    if (rounds_ == 0) return false;
    if (rounds_ >= rules_.most_rounds || racing() == 1) return true;
    if (rounds_ < rules_.least_rounds) return false;
    for (size_t i = 0; i < ns_.size(); ++i) {
        if (!racing_[i] || i == leader_) continue;
        const auto interval = median_interval(ratios(i), rules_.confidence);
        if (!interval || interval->first < 1 - rules_.alike) return false;
    }
    return true;
}

std::vector<Standing> Race::standings() const {
    std::vector<Standing> out(ns_.size());
    const double leaders = rounds_ > 0 ? median(ns_[leader_]) : 0;
    for (size_t i = 0; i < ns_.size(); ++i) {
        out[i].racing = racing_[i];
        out[i].rounds = static_cast<int>(ns_[i].size());
        if (i != leader_ && rounds_ > 0) {
            std::vector<double> all = ratios(i);
            out[i].ratio = median(all);
            out[i].interval = median_interval(std::move(all), 0.95);
        }
        out[i].ns = out[i].ratio * leaders;
    }
    return out;
}

}  // namespace tritbench
