#include "harness/llama_bench.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

namespace tritbench {
namespace {

using Json = nlohmann::ordered_json;

void add_text(Json& object, const char* name, const Row& row, Column column) {
    if (!row[column].empty()) object[name] = row[column];
}

void add_count(Json& object, const char* name, const Row& row, Column column) {
    if (const auto value = row.number(column)) object[name] = static_cast<int64_t>(*value);
}

double mean(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double deviation(const std::vector<double>& values) {
    if (values.size() < 2) return 0;
    const double middle = mean(values);
    double sum = 0;
    for (const double value : values) sum += (value - middle) * (value - middle);
    return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

// One sum for each repetition: a decode row has a sample for every step.
std::vector<double> repetitions(const Row& row, std::span<const double> samples_ns) {
    const auto each = static_cast<size_t>(row.number(Column::CallsPerRepetition).value_or(1));
    std::vector<double> sums;
    for (size_t begin = 0; each > 0 && begin + each <= samples_ns.size(); begin += each) {
        const auto part = samples_ns.subspan(begin, each);
        sums.push_back(std::accumulate(part.begin(), part.end(), 0.0));
    }
    return sums;
}

void add_times(Json& object, const Row& row, std::span<const double> samples_ns) {
    const std::vector<double> ns = repetitions(row, samples_ns);
    if (ns.empty()) return;
    const double tokens =
        row.number(Column::PromptTokens).value_or(0) +
        row.number(Column::GeneratedTokens).value_or(0) * row.number(Column::Sequences).value_or(1);
    std::vector<double> rates;
    std::vector<int64_t> whole_ns;
    for (const double one : ns) {
        rates.push_back(tokens * 1e9 / one);
        whole_ns.push_back(std::llround(one));
    }
    object["avg_ns"] = std::llround(mean(ns));
    object["stddev_ns"] = std::llround(deviation(ns));
    object["avg_ts"] = mean(rates);
    object["stddev_ts"] = deviation(rates);
    object["samples_ns"] = whole_ns;
    object["samples_ts"] = rates;
}

}  // namespace

std::string llama_bench_object(const Row& row, std::span<const double> samples_ns) {
    Json object = Json::object();
    add_text(object, "build_commit", row, Column::GitRevision);
    add_text(object, "cpu_info", row, Column::Cpu);
    add_text(object, "model_filename", row, Column::ModelFile);
    add_text(object, "model_type", row, Column::ModelType);
    add_count(object, "model_size", row, Column::ModelTensorBytes);
    add_count(object, "model_n_params", row, Column::ModelParameters);
    add_count(object, "n_batch", row, Column::PrefillBatch);
    add_count(object, "n_ubatch", row, Column::PrefillBatch);
    add_count(object, "n_threads", row, Column::Threads);
    add_text(object, "type_k", row, Column::CacheType);
    add_text(object, "type_v", row, Column::CacheType);
    add_count(object, "n_prompt", row, Column::PromptTokens);
    add_count(object, "n_gen", row, Column::GeneratedTokens);
    add_count(object, "n_depth", row, Column::DepthTokens);
    add_text(object, "test_time", row, Column::Utc);
    add_times(object, row, samples_ns);
    object.update(Json::parse(json_object(row)));
    return object.dump();
}

}  // namespace tritbench
