// tritbench info: what is inside a GGUF file, and whether its values can be right.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "harness/cli/commands.h"
#include "kernels/api/error.h"
#include "model/config.h"
#include "model/gguf.h"
#include "model/gguf_verify.h"
#include "model/printable.h"

namespace tritbench::cli {
namespace {

using nlohmann::json;

struct InfoFlags {
    std::string file;
    bool verify = false, as_json = false;
    int threads = 0;
};

bool ends_with(std::string_view text, std::string_view end) {
    return text.ends_with(end);
}

enum class Part { Linear, Embedding, Head, Norm, Other };

Part part_of(const GgufTensor& t) {
    if (t.name == "token_embd.weight") return Part::Embedding;
    if (t.name == "output.weight") return Part::Head;
    if (ends_with(t.name, "_norm.weight")) return Part::Norm;
    return t.ne.size() >= 2 ? Part::Linear : Part::Other;
}

struct Totals {
    std::map<Part, uint64_t> parameters;
    std::map<std::string, uint64_t> bytes_by_type;
    uint64_t all_parameters = 0, all_bytes = 0;
};

Totals totals_of(const GgufFile& file) {
    Totals totals;
    for (const GgufTensor& t : file.tensors()) {
        const auto elements = static_cast<uint64_t>(t.elements());
        totals.parameters[part_of(t)] += elements;
        totals.bytes_by_type[ggml_type_name(t.type)] += t.bytes;
        totals.all_parameters += elements;
        totals.all_bytes += t.bytes;
    }
    return totals;
}

// The checks of all tensors, in the order of the file; empty unless asked for.
std::vector<TensorCheck> check_all(const GgufFile& file, const InfoFlags& flags) {
    std::vector<TensorCheck> checks;
    if (!flags.verify) return checks;
    ThreadPool pool(flags.threads, {}, false);
    for (const GgufTensor& t : file.tensors()) checks.push_back(check_tensor(t, pool));
    return checks;
}

double zero_fraction(const GgufTensor& t, const TensorCheck& check) {
    return static_cast<double>(check.zeros) / static_cast<double>(t.elements());
}

// What keeps the file from being a model of this project; empty when nothing does.
std::string config_problem(const GgufFile& file) {
    try {
        read_config(file);
        return "";
    } catch (const Error& e) {
        return e.what();
    }
}

std::string scalar_text(const GgufScalar& value) {
    if (const auto* text = std::get_if<std::string>(&value))
        return "\"" + printable(*text, 120) + "\"";
    if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
    if (const auto* number = std::get_if<double>(&value)) return fmt::format("{:.9g}", *number);
    if (const auto* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
    return std::to_string(std::get<uint64_t>(value));
}

std::string value_text(const GgufValue& value) {
    if (const auto* array = std::get_if<GgufArray>(&value)) {
        std::string text = "[";
        for (const GgufScalar& element : array->values(4)) {
            text += (text.size() > 1 ? ", " : "") + scalar_text(element);
        }
        if (array->count > 4) text += ", ...";
        return text + fmt::format("] ({} values)", array->count);
    }
    return std::visit(
        [](const auto& v) -> std::string {
            if constexpr (std::is_same_v<std::decay_t<decltype(v)>, GgufArray>) {
                return "";
            } else {
                return scalar_text(GgufScalar(v));
            }
        },
        value);
}

json scalar_json(const GgufScalar& value) {
    return std::visit([](const auto& v) { return json(v); }, value);
}

json value_json(const GgufValue& value) {
    if (const auto* array = std::get_if<GgufArray>(&value)) {
        auto first = json::array();
        for (const GgufScalar& element : array->values(16)) first.push_back(scalar_json(element));
        return {{"count", array->count}, {"first", first}};
    }
    return std::visit(
        [](const auto& v) {
            if constexpr (std::is_same_v<std::decay_t<decltype(v)>, GgufArray>) {
                return json();
            } else {
                return json(v);
            }
        },
        value);
}

json tensor_json(const GgufTensor& t, const TensorCheck* check) {
    json row = {{"name", t.name},
                {"type", ggml_type_name(t.type)},
                {"ne", t.ne},
                {"offset", t.file_offset},
                {"bytes", t.data ? json(t.bytes) : json()}};
    if (check) {
        row["right"] = check->problem.empty();
        if (!check->problem.empty()) row["problem"] = check->problem;
        if (check->ternary) {
            row["scale"] = check->scale;
            row["zero_fraction"] = zero_fraction(t, *check);
        }
    }
    return row;
}

void print_json(const GgufFile& file, const Totals& totals,
                const std::vector<TensorCheck>& checks) {
    const auto count = [&](Part part) {
        const auto found = totals.parameters.find(part);
        return found == totals.parameters.end() ? uint64_t{0} : found->second;
    };
    auto metadata = json::object();
    for (const auto& [key, value] : file.metadata()) metadata[key] = value_json(value);
    auto tensors = json::array();
    for (size_t i = 0; i < file.tensors().size(); ++i) {
        tensors.push_back(tensor_json(file.tensors()[i], checks.empty() ? nullptr : &checks[i]));
    }
    json out = {{"file", file.path().string()},
                {"file_bytes", file.file_bytes()},
                {"gguf_version", file.version()},
                {"parameters",
                 {{"linear", count(Part::Linear)},
                  {"embedding", count(Part::Embedding)},
                  {"head", count(Part::Head)},
                  {"norms", count(Part::Norm)},
                  {"other", count(Part::Other)},
                  {"total", totals.all_parameters}}},
                {"bytes_by_type", totals.bytes_by_type},
                {"metadata", metadata},
                {"tensors", tensors}};
    if (!checks.empty()) {
        out["right"] = std::all_of(checks.begin(), checks.end(),
                                   [](const TensorCheck& c) { return c.problem.empty(); });
    }
    if (const std::string problem = config_problem(file); !problem.empty()) {
        out["not_a_model"] = problem;
    }
    // Texts in a file need not be UTF-8.
    fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
}

void print_summary(const GgufFile& file, const Totals& totals) {
    fmt::print("{}: GGUF version {}, {} bytes, {} keys, {} tensors\n",
               printable(file.path().string(), 300), file.version(), file.file_bytes(),
               file.metadata().size(), file.tensors().size());
    if (const std::string problem = config_problem(file); !problem.empty()) {
        fmt::print("model: none that tritbench runs ({})\n", problem);
    } else {
        const ModelConfig c = read_config(file);
        fmt::print(
            "model: {} ({}), hidden {}, ffn {}, {} layers, {} heads, {} kv heads of {}, "
            "vocabulary {}, context {}, rope base {:g}, head {}\n",
            c.architecture, printable(c.name), c.hidden, c.ffn, c.layers, c.heads, c.kv_heads,
            c.head_dim, c.vocab, c.context, c.rope_base, c.tied_head ? "tied" : "separate");
    }
    static constexpr std::pair<Part, const char*> names[] = {{Part::Linear, "linear"},
                                                             {Part::Embedding, "embedding"},
                                                             {Part::Head, "head"},
                                                             {Part::Norm, "norms"},
                                                             {Part::Other, "other"}};
    fmt::print("\nparameters\n");
    for (const auto& [part, name] : names) {
        const auto found = totals.parameters.find(part);
        if (found != totals.parameters.end()) fmt::print("  {:<12}{:>16}\n", name, found->second);
    }
    fmt::print("  {:<12}{:>16}\n\nbytes\n", "total", totals.all_parameters);
    for (const auto& [type, bytes] : totals.bytes_by_type) {
        fmt::print("  {:<12}{:>16}\n", type, bytes);
    }
    fmt::print("  {:<12}{:>16}\n\nmetadata\n", "total", totals.all_bytes);
    for (const auto& [key, value] : file.metadata()) {
        fmt::print("  {:<44} {}\n", printable(key), value_text(value));
    }
}

void print_tensors(const GgufFile& file, const std::vector<TensorCheck>& checks) {
    fmt::print("\ntensors (extents: K x N)\n");
    for (size_t i = 0; i < file.tensors().size(); ++i) {
        const GgufTensor& t = file.tensors()[i];
        std::string note;
        if (!checks.empty()) {
            const TensorCheck& check = checks[i];
            note = check.problem.empty() ? "right" : "WRONG: " + check.problem;
            if (check.ternary) {
                note = fmt::format("scale {:<11.6g} zeros {:.4f}  {}", check.scale,
                                   zero_fraction(t, check), note);
            }
        }
        fmt::print("  {:<32} {:<8} {:>16} {:>12} at {:<12} {}\n", printable(t.name),
                   ggml_type_name(t.type), extents_text(t.ne),
                   t.data ? std::to_string(t.bytes) : "?", t.file_offset, note);
    }
}

int print_verdict(const GgufFile& file, const std::vector<TensorCheck>& checks, bool as_json) {
    uint64_t wrong = 0, zeros = 0, weights = 0;
    for (size_t i = 0; i < checks.size(); ++i) {
        if (!checks[i].problem.empty()) {
            ++wrong;
            fmt::print(stderr, "tritbench: {}: tensor '{}': {}\n",
                       printable(file.path().string(), 300), printable(file.tensors()[i].name),
                       checks[i].problem);
        }
        if (checks[i].ternary) {
            zeros += checks[i].zeros;
            weights += static_cast<uint64_t>(file.tensors()[i].elements());
        }
    }
    if (!as_json) {
        fmt::print("\nverify: {} of {} tensors right", checks.size() - wrong, checks.size());
        if (weights > 0) {
            fmt::print(", {:.4f} of {} ternary weights are zero",
                       static_cast<double>(zeros) / static_cast<double>(weights), weights);
        }
        fmt::print("\n");
    }
    return wrong == 0 ? 0 : 1;
}

int show(const InfoFlags& flags) {
    const GgufFile file(flags.file);
    const Totals totals = totals_of(file);
    const std::vector<TensorCheck> checks = check_all(file, flags);
    if (flags.as_json) {
        print_json(file, totals, checks);
    } else {
        print_summary(file, totals);
        print_tensors(file, checks);
    }
    return flags.verify ? print_verdict(file, checks, flags.as_json) : 0;
}

}  // namespace

void add_info(CLI::App& app, int* exit_code) {
    auto* command = app.add_subcommand("info", "what is inside a GGUF file");
    auto flags = std::make_shared<InfoFlags>();
    flags->threads = static_cast<int>(allowed_cpus().size());
    command->add_option("file", flags->file, "the GGUF file")->required();
    command->add_flag("--verify", flags->verify,
                      "check every value: no invalid code, scales and floats finite");
    command->add_flag("--json", flags->as_json, "print JSON");
    command->add_option("-t,--threads", flags->threads, "threads for --verify")
        ->capture_default_str();
    command->callback([flags, exit_code] { *exit_code = show(*flags); });
}

}  // namespace tritbench::cli
