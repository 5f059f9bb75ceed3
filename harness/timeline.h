// Where the time of a forward pass goes: the observer of a Session, with a clock.
//
// Reading the clock at every begin and end of a role costs a token some 30 us, so that a timeline
// is taken of a repetition of its own, never of those that are timed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/transformer.h"

namespace tritbench {

// Nanoseconds of one sample, or of a token of it. Their sum is the sample's time: `other` is what
// is neither of the named ones, time that no role covers included.
struct RoleTimes {
    double prepare = 0;
    double product = 0;
    double attention = 0;
    double head = 0;
    double other = 0;

    double total() const { return prepare + product + attention + head + other; }
    // Parts of the total, 0 to 1. The head is a product, though not of a linear layer.
    double outside_products() const { return (prepare + attention + other) / total(); }
};

class Timeline {
  public:
    using Clock = int64_t (*)();  // nanoseconds

    explicit Timeline(Clock clock) : clock_(clock) {}

    // For Session::observe; valid as long as this object.
    Observer observer();

    // Around what is measured: one token, or a whole prompt.
    void begin_sample();
    void end_sample();

    // The sample of median total time, so that one that was interrupted does not count; divided by
    // `tokens`. Throws Error when there is no sample, when a role began within another, ended
    // without having begun, or began or ended outside of a sample.
    RoleTimes median_sample(double tokens = 1) const;

  private:
    void begin(Role role);
    void end(Role role);
    void complain(const std::string& what);

    Clock clock_;
    int64_t sample_begin_ = 0, role_begin_ = 0;
    bool inside_ = false;
    std::optional<Role> open_;
    RoleTimes current_;
    std::vector<RoleTimes> samples_;
    std::string problem_;  // the first
};

}  // namespace tritbench
