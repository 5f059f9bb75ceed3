#include "harness/model_observers.h"

#include <string_view>

#include "kernels/api/prepared_int8.h"

namespace tritbench {
namespace {

bool outside_layers(Role role) {
    return role == Role::Embed || role == Role::Head;
}

// Columns whose activation is zero in every token.
int64_t idle_columns(const tb_int8_batch& x) {
    int64_t idle = 0;
    for (int64_t k = 0; k < x.k; ++k) {
        int8_t any = 0;
        for (int64_t m = 0; m < x.m; ++m) any = static_cast<int8_t>(any | x.q[m * x.kp + k]);
        idle += any == 0 ? 1 : 0;
    }
    return idle;
}

}  // namespace

Observer OutsideLayers::observer() {
    Observer observer;
    observer.context = this;
    observer.begin = [](void* context, Role role) {
        auto* self = static_cast<OutsideLayers*>(context);
        if (outside_layers(role)) self->begin_ = self->clock_();
    };
    observer.end = [](void* context, Role role) {
        auto* self = static_cast<OutsideLayers*>(context);
        if (outside_layers(role)) self->total_ += self->clock_() - self->begin_;
    };
    return observer;
}

double OutsideLayers::take() {
    const auto taken = static_cast<double>(total_);
    total_ = 0;
    return taken;
}

Observer SkippedWeights::observer() {
    Observer observer;
    observer.context = this;
    observer.input = [](void* context, const tb_kernel& kernel, const PackedWeights& weights,
                        const PreparedBatch& x) {
        static_cast<SkippedWeights*>(context)->input(kernel, weights, x);
    };
    return observer;
}

void SkippedWeights::input(const tb_kernel& kernel, const PackedWeights& weights,
                           const PreparedBatch& x) {
    if (kernel.skips_zeros == 0 || std::string_view(kernel.prepare_tag) != TB_INT8_PREPARE_TAG) {
        return;
    }
    const tb_int8_batch batch = tb_int8_open(&weights.shape, x.data(), x.m());
    const double share =
        static_cast<double>(idle_columns(batch)) / static_cast<double>(weights.shape.k);
    bytes_ += share * static_cast<double>(weights.bytes.size());
}

}  // namespace tritbench
