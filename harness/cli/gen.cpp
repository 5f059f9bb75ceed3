// tritbench gen: dummy models.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "dummy_models/generator.h"
#include "harness/cli/commands.h"
#include "harness/cli/output_flags.h"
#include "harness/progress.h"
#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench::cli {
namespace {

namespace fs = std::filesystem;

struct GenFlags {
    std::string preset, format = "i2_s", head, arch, output;
    std::optional<int64_t> hidden, ffn, layers, heads, kv_heads, head_dim, vocab, context;
    std::optional<double> rope_base;
    uint64_t seed = 1;
    double zeros = DummyOptions{}.zeros;
    std::optional<double> ffn_zeros;
    int threads = 0;
    bool force = false, list = false, json = false;
};

int default_threads() {
    return static_cast<int>(allowed_cpus().size());
}

void print_list(bool json) {
    auto rows = nlohmann::json::array();
    if (!json) {
        fmt::print("{:<20}{:<8}{:>16}{:>12}  {:>6} {:>6} {:>6} {:>5} {:>8} {:>7}  {}\n", "preset",
                   "alias", "parameters", "file", "hidden", "ffn", "layers", "heads", "kv_heads",
                   "vocab", "source");
    }
    for (const Preset& p : presets()) {
        const ModelConfig& c = p.config;
        const uint64_t parameters = count_parameters(c).total();
        const uint64_t bytes = dummy_file_bytes({c});
        if (json) {
            rows.push_back({{"name", p.name},
                            {"alias", p.alias},
                            {"parameters", parameters},
                            {"file_bytes", bytes},
                            {"hidden", c.hidden},
                            {"ffn", c.ffn},
                            {"layers", c.layers},
                            {"heads", c.heads},
                            {"kv_heads", c.kv_heads},
                            {"head_dim", c.head_dim},
                            {"vocab", c.vocab},
                            {"context", c.context},
                            {"rope_base", c.rope_base},
                            {"tied_head", c.tied_head},
                            {"source", p.source}});
            continue;
        }
        fmt::print("{:<20}{:<8}{:>16}{:>9.2f} GB  {:>6} {:>6} {:>6} {:>5} {:>8} {:>7}  {}\n",
                   p.name, p.alias, parameters, static_cast<double>(bytes) * 1e-9, c.hidden, c.ffn,
                   c.layers, c.heads, c.kv_heads, c.vocab, p.source);
    }
    if (json) fmt::print("{}\n", rows.dump(2));
}

// A preset, any part of it changed by a flag, or a shape made of flags alone.
ModelConfig config_of(const GenFlags& flags) {
    ModelConfig c;
    if (!flags.preset.empty()) {
        c = find_preset(flags.preset).config;
    } else if (!flags.hidden || !flags.ffn || !flags.layers || !flags.heads) {
        throw Error(
            "gen needs --preset NAME (gen --list shows them), or a shape: --hidden, --ffn, "
            "--layers "
            "and --heads");
    } else {
        c.architecture = "bitnet-b1.58";
        c.vocab = 32002;
        c.context = 2048;
        c.kv_heads = *flags.heads;
    }
    const bool changed = flags.hidden || flags.ffn || flags.layers || flags.heads ||
                         flags.kv_heads || flags.head_dim || flags.vocab || flags.context ||
                         flags.rope_base;
    c.hidden = flags.hidden.value_or(c.hidden);
    c.ffn = flags.ffn.value_or(c.ffn);
    c.layers = flags.layers.value_or(c.layers);
    c.heads = flags.heads.value_or(c.heads);
    c.kv_heads = flags.kv_heads.value_or(c.kv_heads);
    c.vocab = flags.vocab.value_or(c.vocab);
    c.context = flags.context.value_or(c.context);
    c.rope_base = flags.rope_base.value_or(c.rope_base);
    c.head_dim = flags.head_dim.value_or(c.heads > 0 ? c.hidden / c.heads : 0);
    if (!flags.arch.empty() && !set_architecture(c, flags.arch)) {
        throw Error(fmt::format("--arch {}: expected bitnet, bitnet-b1.58, bitnet-25 or llama",
                                printable(flags.arch, 40)));
    }
    if (!flags.head.empty()) c.tied_head = flags.head == "tied";
    check_shape(c);
    if (changed) c.name = fmt::format("dummy-{}x{}x{}", c.hidden, c.ffn, c.layers);
    return c;
}

int generate(const GenFlags& flags) {
    if (flags.format != "i2_s") {
        throw Error(fmt::format("--format {}: expected i2_s", printable(flags.format)));
    }
    const DummyOptions options{config_of(flags), flags.seed, flags.zeros, flags.ffn_zeros};
    zero_threshold(options.zeros);
    check_ffn_zeros(options);
    if (flags.output.empty()) throw Error("gen needs -o FILE.gguf");
    check_output(flags.output, flags.force);
    ThreadPool pool(flags.threads, {}, false);
    const std::string name = fs::path(flags.output).filename().string();
    install_interrupt_handler();
    Progress progress(fmt::format("gen {}", printable(name)), dummy_file_bytes(options), "B");
    const bool complete = generate_dummy(options, flags.output, pool, [&](uint64_t done, uint64_t) {
        progress.update(done);
        return !interrupted();
    });
    if (!complete) {
        progress.finish("interrupted, nothing kept");
        return kInterrupted;
    }
    progress.finish();
    fmt::print("{}: {}, {} parameters, {:.2f} GB, seed {}, zeros {:.4g}\n",
               printable(flags.output, 300), options.config.name,
               count_parameters(options.config).total(),
               static_cast<double>(fs::file_size(flags.output)) * 1e-9, flags.seed, flags.zeros);
    return 0;
}

}  // namespace

void add_gen(CLI::App& app, int* exit_code) {
    auto* command = app.add_subcommand("gen", "Write a dummy model of any size as a GGUF file");
    auto flags = std::make_shared<GenFlags>();
    flags->threads = default_threads();
    command->add_option("--preset", flags->preset, "a size by name: 125M ... 100B, 2B-4T");
    command->add_option("-o,--output", flags->output, "the file to write");
    command->add_option("--format", flags->format, "format of the linear layers")
        ->capture_default_str();
    command->add_option("--seed", flags->seed, "the same seed gives the same bytes")
        ->check(CLI::NonNegativeNumber)  // which the conversion to unsigned would accept
        ->capture_default_str();
    command->add_option("--zeros", flags->zeros, "share of zero weights, 0 to 0.99")
        ->capture_default_str();
    command->add_option("--ffn-zeros", flags->ffn_zeros,
                        "share of zeros in the int8 input of ffn_down, 0.7 to 0.99\n[some 0.67, "
                        "as random weights make it]");
    command
        ->add_option("--head", flags->head,
                     "LM head: tied to the embedding, or separate\n(bitnet.cpp uses the embedding "
                     "whatever the file has)")
        ->check(CLI::IsMember({"tied", "separate"}));
    command->add_option("-t,--threads", flags->threads, "threads to generate with")
        ->capture_default_str();
    command->add_flag("--force", flags->force, "replace an existing file");
    command->add_flag("--list", flags->list, "list the presets");
    command->add_flag("--json", flags->json, "with --list: as JSON");
    const char* shape = "Shape (alone, or changing a preset)";
    command->add_option("--hidden", flags->hidden, "embedding length")->group(shape);
    command->add_option("--ffn", flags->ffn, "feed-forward length")->group(shape);
    command->add_option("--layers", flags->layers, "decoder blocks")->group(shape);
    command->add_option("--heads", flags->heads, "attention heads")->group(shape);
    command->add_option("--kv-heads", flags->kv_heads, "key/value heads [heads]")->group(shape);
    command->add_option("--head-dim", flags->head_dim, "features of a head [hidden / heads]")
        ->group(shape);
    command
        ->add_option("--arch", flags->arch,
                     "graph: bitnet-b1.58, bitnet-25, bitnet or llama [bitnet-b1.58]")
        ->group(shape);
    command->add_option("--vocab", flags->vocab, "vocabulary [32002]")->group(shape);
    command->add_option("--context", flags->context, "longest sequence [2048]")->group(shape);
    command->add_option("--rope-base", flags->rope_base, "RoPE base [500000]")->group(shape);
    command->callback([flags, exit_code] {
        if (flags->list) {
            print_list(flags->json);
        } else {
            *exit_code = generate(*flags);
        }
    });
}

}  // namespace tritbench::cli
