// A race: candidates timed in interleaved rounds, losers dropped early. It knows no clock and no
// kernel: whoever runs it says how long one repetition of a candidate took.
//
// Each round times everybody who is still racing once, in a random order, so that a slow spell of
// the machine falls on all of them. Candidates are compared by the ratios of their times within
// rounds (drift cancels), and by the median of these ratios (bursts do not count), with intervals
// from order statistics. Racing as in Maron and Moore, "Hoeffding Races" (1993), with paired
// differences as in Moore and Lee (1994), but free of assumptions on the distribution.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "harness/statistics.h"

namespace tritbench {

struct RaceRules {
    // After so many rounds a candidate goes as hopeless if in each of them it took at least
    // `hopeless` times as long as the leader, and neither's own times differ by as much: where they
    // do, the machine is too noisy for so few.
    int hopeless_rounds = 3;
    double hopeless = 1.25;
    int least_rounds = 8;      // rounds before an interval may drop a candidate, or end the race
    int most_rounds = 60;      // the race ends
    double confidence = 0.99;  // of the intervals that drop: they are looked at in every round
    double alike = 0.01;       // the race ends when nobody left can beat the leader by more
};

// What is known of a candidate.
struct Standing {
    bool racing = true;  // false: dropped
    int rounds = 0;      // repetitions of it
    double ns = 0;       // time of a repetition: `ratio` times the median of the leader's
                         // (noise may leave a ratio below 1 to one that was dropped early)
    double ratio = 1;    // median of its time over the leader's in the same round
    // Of that median, with a probability of 95%; empty with too few rounds, and for the leader.
    std::optional<std::pair<double, double>> interval;
};

class Race {
  public:
    // Throws Error without candidates.
    Race(size_t candidates, const RaceRules& rules, uint64_t seed);

    // Times every candidate that is racing once, then drops losers. `time` returns the nanoseconds
    // of a repetition of a candidate, above 0.
    void round(const std::function<double(size_t candidate)>& time);

    int rounds() const { return rounds_; }
    size_t racing() const;
    // One is left, or nobody can beat the leader by much, or the last round is over.
    bool decided() const;
    // The fastest of those that race.
    size_t leader() const { return leader_; }
    // Of every candidate, compared with the leader of now.
    std::vector<Standing> standings() const;

  private:
    void find_leader();
    std::vector<double> ratios(size_t candidate) const;
    bool lost(size_t candidate) const;

    RaceRules rules_;
    std::mt19937_64 random_;
    std::vector<std::vector<double>> ns_;  // [candidate][round]
    std::vector<bool> racing_;
    size_t leader_ = 0;
    int rounds_ = 0;
};

}  // namespace tritbench
