#include "harness/study/fake_machine.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace tritbench {
namespace {

double uniform(std::mt19937_64& random) {
    return (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53;  // never 0, never 1
}

}  // namespace

std::vector<PlantedNoise> planted_noises() {
    std::vector<PlantedNoise> all(7);
    for (PlantedNoise& noise : all) noise.jitter = 0.01;
    all[0].name = "quiet";
    all[1].name = "linear_drift";
    all[1].slope = 0.2;
    all[2].name = "random_walk";
    all[2].walk = 0.1;
    all[3].name = "periodic";
    all[3].period_s = 0.11;  // no multiple of a round
    all[3].amplitude = 0.05;
    all[4].name = "bursts";
    all[4].bursts_per_s = 40;
    all[4].burst_s = 0.004;
    all[5].name = "heavy_tail";
    all[5].tail = 0.15;
    all[6] = {"all_at_once", 0.01, 0.1, 0.05, 0.11, 0.03, 20, 0.004, 0.1};
    return all;
}

FakeMachine::FakeMachine(const PlantedNoise& noise, uint64_t seed) : noise_(noise), random_(seed) {
    phase_ = uniform(random_);
    next_burst_s_ = noise_.bursts_per_s > 0 ? exponential(1 / noise_.bursts_per_s)
                                            : std::numeric_limits<double>::infinity();
}

double FakeMachine::normal() {
    const double radius = std::sqrt(-2 * std::log(uniform(random_)));
    return radius * std::cos(2 * std::numbers::pi * uniform(random_));
}

double FakeMachine::exponential(double mean) {
    return -mean * std::log(uniform(random_));
}

double FakeMachine::run(double work_s) {
    double slowness = (1 + noise_.slope * now_s_) * std::exp(wandered_);
    if (noise_.period_s > 0) {
        const double turns = phase_ + now_s_ / noise_.period_s;
        slowness *= 1 + noise_.amplitude * std::sin(2 * std::numbers::pi * turns);
    }
    double time_s = work_s * slowness * std::exp(noise_.jitter * normal());
    if (noise_.tail > 0 && uniform(random_) < noise_.tail) {
        time_s *= std::pow(uniform(random_), -1 / 1.5);
    }
    while (next_burst_s_ < now_s_ + time_s) {
        const double burst_s = exponential(noise_.burst_s);
        time_s += burst_s;
        next_burst_s_ += burst_s + exponential(1 / noise_.bursts_per_s);
    }
    wandered_ += noise_.walk * std::sqrt(time_s) * normal();
    now_s_ += time_s;
    return time_s;
}

}  // namespace tritbench
