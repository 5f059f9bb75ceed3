// A machine of planted noise with a clock of its own, for studying statistics where the truth is
// known.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace tritbench {

// What disturbs the work. All at 0: nothing.
struct PlantedNoise {
    std::string name;
    double jitter = 0;    // of each run: sigma of the logarithm of its time
    double slope = 0;     // the machine slows down by this share every second
    double walk = 0;      // or wanders: standard deviation of the log of its slowness per sqrt(s)
    double period_s = 0;  // slowness goes up and down by `amplitude` in this time
    double amplitude = 0;
    double bursts_per_s = 0;  // a neighbour takes the core, and work stands still
    double burst_s = 0;       // for so long in the mean, exponentially distributed
    double tail = 0;          // share of runs that take longer by a Pareto factor of index 1.5
};

// The scenarios of the study, from quiet to all at once.
std::vector<PlantedNoise> planted_noises();

class FakeMachine {
  public:
    FakeMachine(const PlantedNoise& noise, uint64_t seed);

    // Does work that takes so long on the undisturbed machine; seconds that went by.
    double run(double work_s);

    double now_s() const { return now_s_; }

  private:
    double normal();
    double exponential(double mean);

    PlantedNoise noise_;
    std::mt19937_64 random_;
    double now_s_ = 0;
    double wandered_ = 0;  // log of the slowness
    double phase_ = 0;
    double next_burst_s_ = 0;
};

}  // namespace tritbench
