#include "harness/model_row.h"

#include "harness/block.h"

namespace tritbench {

namespace {

void set_roles(Row& row, const RoleTimes& roles) {
    row.set(Column::RolePrepareNs, roles.prepare, 0);
    row.set(Column::RoleProductNs, roles.product, 0);
    row.set(Column::RoleAttentionNs, roles.attention, 0);
    row.set(Column::RoleHeadNs, roles.head, 0);
    row.set(Column::RoleOtherNs, roles.other, 0);
    row.set(Column::PctOutsideProducts, 100 * roles.outside_products(), 2);
}

// Of the time with all layers, what those that were not run would have taken.
double extrapolated_pct(const ModelMeasurement& measured) {
    const RoleTimes& roles = measured.roles;
    const double layers = roles.total() - roles.head;
    return 100 * (1 - 1 / measured.layer_factor) * layers / roles.total();
}

}  // namespace

double touched_bytes(const ModelMeasurement& measured) {
    return static_cast<double>(measured.bytes_per_step) - measured.skipped_bytes;
}

RoleTimes with_all_layers(RoleTimes roles, double factor) {
    roles.prepare *= factor;
    roles.product *= factor;
    roles.attention *= factor;
    roles.other *= factor;
    return roles;
}

double tokens_per_sample(const Cell& cell) {
    return static_cast<double>(cell.phase == Phase::Decode ? cell.sequences : cell.tokens());
}

void set_model_times(Row& row, const Cell& cell, const ModelMeasurement& measured,
                     std::set<std::string>& marks, double confidence) {
    set_times(row, measured.samples_ns, marks, confidence);
    const double median_ns = median(measured.samples_ns);
    const double tokens_per_s = tokens_per_sample(cell) * 1e9 / median_ns;
    row.set(Column::TokensPerS, tokens_per_s, 3);
    row.set(Column::TokensPerSNoHead,
            tokens_per_s / (1 - measured.roles.head / measured.roles.total()), 3);
    row.set(Column::ExtrapolatedPct, extrapolated_pct(measured), 2);
    row.set(Column::GmacPerS, cell.work_macs / median_ns, 3);
    row.set(Column::LoadMs, measured.load_ms, 1);
    set_roles(row, measured.roles);
    if (!measured.first_token_ns.empty()) {
        row.set(Column::FirstTokenMs, median(measured.first_token_ns) / 1e6, 3);
    }
    if (cell.phase == Phase::Prefill) {
        const double share = measured.roles.product / measured.roles.total();
        row.set(Column::ProductGmacPerS, cell.linear_macs / (median_ns * share), 3);
    }
    if (cell.phase != Phase::Decode) return;
    row.set(Column::P95Ns, percentile(measured.samples_ns, 0.95), 1);
    row.set(Column::P99Ns, percentile(measured.samples_ns, 0.99), 1);
    const double step = touched_bytes(measured);
    row.set(Column::Bytes, step / static_cast<double>(cell.sequences), 0);
    row.set(Column::GbPerS, step / median_ns, 3);
}

void set_product_peak(Row& row) {
    const auto rate = row.number(Column::ProductGmacPerS);
    const auto peak = row.number(Column::PeakGmacPerS);
    if (rate && peak) row.set(Column::ProductPctOfPeak, 100 * *rate / *peak, 1);
}

}  // namespace tritbench
