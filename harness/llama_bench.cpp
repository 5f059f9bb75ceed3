#include "harness/llama_bench.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

namespace tritbench {
namespace {

using Json = nlohmann::ordered_json;

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

// A field of llama-bench that is no measurement: from a column, or what is true of every run here.
struct LlamaField {
    const char* name;
    Column column = Column::Count;
    Json constant;
};

// Before the times, which come last.
const std::vector<LlamaField>& llama_settings() {
    static const std::vector<LlamaField> fields = {
        {"build_commit", Column::GitRevision, ""},
        {"build_number", Column::Count, 0},
        {"cpu_info", Column::Cpu, ""},
        {"gpu_info", Column::Count, ""},
        {"backends", Column::Plan, ""},
        {"model_filename", Column::ModelFile, ""},
        {"model_type", Column::ModelType, ""},
        {"model_size", Column::ModelTensorBytes, 0},
        {"model_n_params", Column::ModelParameters, 0},
        {"n_batch", Column::PrefillBatch, 0},
        {"n_ubatch", Column::PrefillBatch, 0},
        {"n_threads", Column::Threads, 0},
        {"cpu_mask", Column::Count, "0x0"},
        {"cpu_strict", Column::Count, true},  // every thread is pinned
        {"poll", Column::Count, 100},         // and spins before it sleeps
        {"type_k", Column::CacheType, ""},
        {"type_v", Column::CacheType, ""},
        {"n_gpu_layers", Column::Count, 0},
        {"split_mode", Column::Count, "none"},
        {"main_gpu", Column::Count, 0},
        {"no_kv_offload", Column::Count, true},
        {"flash_attn", Column::Count, false},
        {"devices", Column::Count, "none"},
        {"tensor_split", Column::Count, "0.00"},
        {"tensor_buft_overrides", Column::Count, "none"},
        {"use_mmap", Column::Count, true},
        {"embeddings", Column::Count, false},
        {"no_op_offload", Column::Count, 1},
        {"n_prompt", Column::PromptTokens, 0},
        {"n_gen", Column::GeneratedTokens, 0},
        {"n_depth", Column::DepthTokens, 0},
        {"test_time", Column::Utc, ""},
    };
    return fields;
}

// The column as the field has it; its constant where the column is unknown.
Json setting_value(const Row& row, const LlamaField& field) {
    if (field.column == Column::Count || row[field.column].empty()) return field.constant;
    if (field.column == Column::Plan) return "tritbench " + row[Column::Plan];
    if (!field.constant.is_number()) return row[field.column];
    return static_cast<int64_t>(row.number(field.column).value_or(0));
}

}  // namespace

std::string llama_bench_row(const Row& row, std::span<const double> samples_ns) {
    Json object = Json::object();
    for (const LlamaField& field : llama_settings()) object[field.name] = setting_value(row, field);
    add_times(object, row, samples_ns);
    return object.dump();
}

const std::vector<std::string>& llama_bench_fields() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> all;
        for (const LlamaField& field : llama_settings()) all.emplace_back(field.name);
        all.insert(all.end(),
                   {"avg_ns", "stddev_ns", "avg_ts", "stddev_ts", "samples_ns", "samples_ts"});
        return all;
    }();
    return names;
}

std::string llama_bench_object(const Row& row, std::span<const double> samples_ns) {
    Json object = Json::object();
    // Of the settings those that a column tells; in `backends` it would only say itself again.
    for (const LlamaField& field : llama_settings()) {
        if (field.column == Column::Count || field.column == Column::Plan) continue;
        if (!row[field.column].empty()) object[field.name] = setting_value(row, field);
    }
    add_times(object, row, samples_ns);
    object.update(Json::parse(json_object(row)));
    return object.dump();
}

}  // namespace tritbench
