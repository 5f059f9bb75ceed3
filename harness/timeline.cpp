#include "harness/timeline.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/api/error.h"

namespace tritbench {

namespace {

const char* role_name(Role role) {
    switch (role) {
        case Role::Embed:
            return "embed";
        case Role::Norm:
            return "norm";
        case Role::Prepare:
            return "prepare";
        case Role::Product:
            return "product";
        case Role::Attention:
            return "attention";
        case Role::Activation:
            return "activation";
        case Role::Head:
            return "head";
        case Role::Other:
            break;
    }
    return "other";
}

// Null: it counts as other, which is what the named ones leave of the sample.
double* time_of(RoleTimes& times, Role role) {
    switch (role) {
        case Role::Prepare:
            return &times.prepare;
        case Role::Product:
            return &times.product;
        case Role::Attention:
            return &times.attention;
        case Role::Head:
            return &times.head;
        default:
            return nullptr;
    }
}

}  // namespace

Observer Timeline::observer() {
    Observer observer;
    observer.begin = [](void* self, Role role) { static_cast<Timeline*>(self)->begin(role); };
    observer.end = [](void* self, Role role) { static_cast<Timeline*>(self)->end(role); };
    observer.context = this;
    return observer;
}

// Roles are told of from destructors, which must not throw: median_sample does.
void Timeline::complain(const std::string& what) {
    if (problem_.empty()) problem_ = "timeline: " + what;
}

void Timeline::begin_sample() {
    if (inside_) complain("a sample began within another");
    inside_ = true;
    current_ = {};
    sample_begin_ = clock_();
}

void Timeline::end_sample() {
    const int64_t now = clock_();
    if (!inside_) complain("a sample ended that had not begun");
    if (open_) complain(fmt::format("role {} did not end within its sample", role_name(*open_)));
    inside_ = false;
    open_.reset();
    current_.other = 0;
    current_.other = static_cast<double>(now - sample_begin_) - current_.total();
    samples_.push_back(current_);
}

void Timeline::begin(Role role) {
    if (!inside_) complain(fmt::format("role {} began outside of a sample", role_name(role)));
    if (open_) {
        complain(fmt::format("role {} began within role {}", role_name(role), role_name(*open_)));
    }
    open_ = role;
    role_begin_ = clock_();
}

void Timeline::end(Role role) {
    const int64_t now = clock_();
    if (!open_ || *open_ != role) {
        complain(fmt::format("role {} ended while {} ran", role_name(role),
                             open_ ? role_name(*open_) : "none"));
    }
    open_.reset();
    if (double* time = time_of(current_, role)) *time += static_cast<double>(now - role_begin_);
}

RoleTimes Timeline::median_sample(double tokens) const {
    if (!problem_.empty()) throw Error(problem_);
    if (samples_.empty()) throw Error("timeline: no sample; expected at least one");
    std::vector<RoleTimes> sorted = samples_;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end(),
                     [](const RoleTimes& a, const RoleTimes& b) { return a.total() < b.total(); });
    RoleTimes times = *middle;
    for (double* t :
         {&times.prepare, &times.product, &times.attention, &times.head, &times.other}) {
        *t /= tokens;
    }
    return times;
}

}  // namespace tritbench
