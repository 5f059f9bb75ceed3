// tritbench info: what is inside a GGUF file, and whether its values can be right.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "harness/cli/commands.h"
#include "harness/cli/info_json.h"
#include "harness/cli/info_values.h"
#include "harness/cli/model_flags.h"
#include "kernels/api/error.h"
#include "model/config.h"
#include "model/gguf.h"
#include "model/printable.h"

namespace tritbench::cli {
namespace {

struct InfoFlags {
    std::string file;
    bool verify = false, as_json = false;
    int threads = 0;
    LoadFlags load;
};

// Linear layers of this size are counted without being asked: a second or two.
constexpr uint64_t kCountedBytes = uint64_t{1} << 30;

// The checks of all tensors, in the order of the file; empty unless asked for.
std::vector<TensorCheck> check_all(const GgufFile& file, const InfoFlags& flags) {
    std::vector<TensorCheck> checks;
    if (!flags.verify) return checks;
    ThreadPool pool(flags.threads, {}, false);
    return check_values(file, flags.load.options(), pool);
}

// Of the linear layers: from the checks, or counted where that is quick.
std::optional<ZeroFraction> zeros_of(const GgufFile& file, const Totals& totals,
                                     const std::vector<TensorCheck>& checks,
                                     const InfoFlags& flags) {
    if (checks.empty()) {
        if (totals.linear_bytes > kCountedBytes) return std::nullopt;
        ThreadPool pool(flags.threads, {}, false);
        return zero_fraction(file, flags.load.options(), pool);
    }
    ZeroFraction sum;
    for (size_t i = 0; i < checks.size(); ++i) {
        if (!checks[i].ternary) continue;
        sum.zeros += checks[i].zeros;
        sum.weights += weights_of(file, file.tensors()[i]);
    }
    return sum.weights > 0 ? std::optional(sum) : std::nullopt;
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

void print_summary(const GgufFile& file, const Totals& totals,
                   const std::optional<ZeroFraction>& zeros) {
    fmt::print("{}: GGUF version {}, {} bytes, {} keys, {} tensors\n",
               printable(file.path().string(), 300), file.version(), file.file_bytes(),
               file.metadata().size(), file.tensors().size());
    if (const std::string problem = config_problem(file); !problem.empty()) {
        fmt::print("model: none that tritbench runs ({})\n", problem);
    } else {
        const ModelConfig c = read_config(file);
        fmt::print(
            "model: {} ({}), hidden {}, ffn {}, {} layers, {} heads, {} kv heads of {}, "
            "vocabulary {}, context {}\n"
            "graph: activation {}, rope {} of base {:g}, {} sub-norms, head {}\n",
            c.architecture, printable(c.name), c.hidden, c.ffn, c.layers, c.heads, c.kv_heads,
            c.head_dim, c.vocab, c.context, activation_name(c.activation), rope_kind_name(c.rope),
            c.rope_base, c.sub_norms ? "with" : "no", c.tied_head ? "tied" : "separate");
    }
    if (const auto dummy = dummy_facts(file)) {
        fmt::print(
            "dummy: random weights (version {}, seed {}), {:.4f} of them zero, {:.4f} of the "
            "others positive, scales spread by {:.4f}\n",
            dummy->version, dummy->seed, dummy->zeros, dummy->positive, dummy->scale_spread);
    }
    if (zeros) {
        fmt::print("zeros: {:.4f} of the {} ternary weights of linear layers\n", zeros->value(),
                   zeros->weights);
    }
    if (const auto trained = trained_activation_zeros(file)) {
        fmt::print("zeros: {:.4f} of the activations that enter ffn_down, as {}\n", *trained,
                   file.find("tritbench.dummy.ffn_zeros") != nullptr ? "stated" : "trained");
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
                                   ZeroFraction{check.zeros, weights_of(file, t)}.value(), note);
            }
        }
        fmt::print("  {:<32} {:<8} {:>16} {:>12} at {:<12} {}\n", printable(t.name),
                   ggml_type_name(t.type), extents_text(t.ne),
                   t.data ? std::to_string(t.bytes) : "?", t.file_offset, note);
    }
}

int print_verdict(const GgufFile& file, const std::vector<TensorCheck>& checks,
                  const std::optional<ZeroFraction>& zeros, bool as_json) {
    uint64_t wrong = 0;
    for (size_t i = 0; i < checks.size(); ++i) {
        if (!checks[i].problem.empty()) {
            ++wrong;
            fmt::print(stderr, "tritbench: {}: tensor '{}': {}\n",
                       printable(file.path().string(), 300), printable(file.tensors()[i].name),
                       checks[i].problem);
        }
    }
    if (!as_json) {
        fmt::print("\nverify: {} of {} tensors right", checks.size() - wrong, checks.size());
        if (zeros) {
            fmt::print(", {:.4f} of {} ternary weights are zero", zeros->value(), zeros->weights);
        }
        fmt::print("\n");
    }
    return wrong == 0 ? 0 : 1;
}

int show(const InfoFlags& flags) {
    const GgufFile file(flags.file);
    const Totals totals = totals_of(file);
    const std::vector<TensorCheck> checks = check_all(file, flags);
    const std::optional<ZeroFraction> zeros = zeros_of(file, totals, checks, flags);
    if (flags.as_json) {
        print_json(file, totals, checks, zeros);
    } else {
        print_summary(file, totals, zeros);
        print_tensors(file, checks);
    }
    return flags.verify ? print_verdict(file, checks, zeros, flags.as_json) : 0;
}

}  // namespace

void add_info(CLI::App& app, int* exit_code) {
    auto* command = app.add_subcommand("info", "Show what is inside a GGUF file");
    auto flags = std::make_shared<InfoFlags>();
    flags->threads = static_cast<int>(allowed_cpus().size());
    command->add_option("file", flags->file, "the GGUF file")->required();
    command->add_flag("--verify", flags->verify,
                      "check every value: no invalid code, scales and floats finite");
    command->add_flag("--json", flags->as_json, "print JSON");
    command->add_option("-t,--threads", flags->threads, "threads for --verify")
        ->capture_default_str();
    add_load_flags(*command, flags->load);
    command->callback([flags, exit_code] { *exit_code = show(*flags); });
}

}  // namespace tritbench::cli
