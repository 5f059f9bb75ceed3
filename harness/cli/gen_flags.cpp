#include "harness/cli/gen_flags.h"

#include <fmt/format.h>

#include "dummy_models/metadata.h"
#include "kernels/api/error.h"
#include "model/printable.h"
#include "model/thread_pool.h"

namespace tritbench::cli {
namespace {

// A preset, any part of it changed by a flag, or a shape made of flags alone.
ModelConfig gen_config(const GenFlags& flags, const GgufFile* vocabulary) {
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
        c.vocab = vocabulary != nullptr ? vocabulary_size(*vocabulary) : 32002;
        c.context = 2048;
        c.kv_heads = *flags.heads;
    }
    const bool other_heads = flags.preset.empty() || flags.hidden || flags.heads;
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
    if (other_heads) c.head_dim = c.heads > 0 ? c.hidden / c.heads : 0;
    c.head_dim = flags.head_dim.value_or(c.head_dim);
    if (!flags.arch.empty() && !set_architecture(c, flags.arch)) {
        throw Error(fmt::format("--arch {}: expected bitnet, bitnet-b1.58, bitnet-25 or llama",
                                printable(flags.arch, 40)));
    }
    if (!flags.head.empty()) c.tied_head = flags.head == "tied";
    if (changed) c.name = fmt::format("dummy-{}x{}x{}", c.hidden, c.ffn, c.layers);
    return c;
}

void add_shape_flags(CLI::App& command, GenFlags& flags) {
    const char* shape = "Shape (alone, or changing a preset)";
    command.add_option("--hidden", flags.hidden, "embedding length")->group(shape);
    command.add_option("--ffn", flags.ffn, "feed-forward length")->group(shape);
    command.add_option("--layers", flags.layers, "decoder blocks")->group(shape);
    command.add_option("--heads", flags.heads, "attention heads")->group(shape);
    command.add_option("--kv-heads", flags.kv_heads, "key/value heads [heads]")->group(shape);
    command.add_option("--head-dim", flags.head_dim, "features of a head [hidden / heads]")
        ->group(shape);
    command
        .add_option("--arch", flags.arch,
                    "graph: bitnet-b1.58, bitnet-25, bitnet or llama [bitnet-b1.58]")
        ->group(shape);
    command.add_option("--vocab", flags.vocab, "vocabulary [32002]")->group(shape);
    command.add_option("--context", flags.context, "longest sequence [2048]")->group(shape);
    command.add_option("--rope-base", flags.rope_base, "RoPE base [500000]")->group(shape);
    command
        .add_option("--head", flags.head,
                    "LM head: tied to the embedding, or separate\n(bitnet.cpp uses the embedding "
                    "whatever the file has)")
        ->check(CLI::IsMember({"tied", "separate"}))
        ->group(shape);
}

void add_weight_flags(CLI::App& command, GenFlags& flags) {
    const char* weights = "Weights (stated in the file; 'tritbench info' shows them)";
    command
        .add_option("--seed", flags.seed,
                    "the same seed gives the same weights in every format, and the same bytes")
        ->check(CLI::NonNegativeNumber)  // which the conversion to unsigned would accept
        ->capture_default_str()
        ->group(weights);
    command.add_option("--zeros", flags.zeros, "share of zero weights, 0 to 0.99")
        ->capture_default_str()
        ->group(weights);
    command
        .add_option("--positive", flags.positive,
                    "share of +1 among the weights that are not zero, 0.01 to 0.99")
        ->capture_default_str()
        ->group(weights);
    command
        .add_option("--scale-spread", flags.scale_spread,
                    "scales of tensors are 1 - F to 1 + F times the ideal one, 0 to 0.9")
        ->capture_default_str()
        ->group(weights);
    command
        .add_option("--ffn-zeros", flags.ffn_zeros,
                    "share of zeros in the int8 input of ffn_down, 0.7 to 0.99\n[some 0.67, "
                    "as random weights make it]")
        ->group(weights);
}

}  // namespace

DummyFormats GenFlags::formats() const {
    DummyFormats formats;
    parse_linear_formats(format, formats);
    if (!embedding.empty()) formats.embedding = parse_format(embedding);
    if (!head_type.empty()) formats.head = parse_format(head_type);
    return formats;
}

void add_gen_flags(CLI::App& command, GenFlags& flags) {
    flags.threads = static_cast<int>(allowed_cpus().size());
    command.add_option("--preset", flags.preset, "a size by name: 125M ... 100B, 2B-4T");
    command.add_option("-o,--output", flags.output, "the file to write");
    command
        .add_option(
            "--format", flags.format,
            "format of the linear layers: i2_s, tl1, tl2, tq1_0, f16, i2r, t5r, ... (all of\n"
            "'tritbench kernels'); a tile may follow (tl2:BM=160,BK=96), and other\nformats "
            "of single roles: t5r,ffn_down=i2c")
        ->capture_default_str();
    command.add_option("--embedding-type", flags.embedding,
                       "format of the embedding: f16, bf16, f32, q8_0, q6_k, q4_0 [f16]");
    command.add_option(
        "--head-type", flags.head_type,
        "format of the LM head, the same names; a tied model gets a head of its own\n"
        "of the same values [f16]");
    command.add_option("--vocab-from", flags.vocab_from,
                       "a GGUF file whose vocabulary is copied [none]");
    command.add_option("-t,--threads", flags.threads, "threads to generate with")
        ->capture_default_str();
    command.add_flag("--force", flags.force, "replace an existing file");
    command.add_flag(
        "--list", flags.list,
        "list the presets: parameters, file sizes (with --format: of that one), memory");
    command.add_flag("--json", flags.json, "with --list: as JSON");
    add_weight_flags(command, flags);
    add_shape_flags(command, flags);
}

DummyOptions dummy_options(const GenFlags& flags, std::unique_ptr<const GgufFile>& vocabulary) {
    if (!flags.vocab_from.empty()) vocabulary = std::make_unique<GgufFile>(flags.vocab_from);
    DummyOptions options;
    options.config = gen_config(flags, vocabulary.get());
    options.seed = flags.seed;
    options.zeros = flags.zeros;
    options.ffn_zeros = flags.ffn_zeros;
    options.positive = flags.positive;
    options.scale_spread = flags.scale_spread;
    options.formats = flags.formats();
    options.vocabulary = vocabulary.get();
    check_dummy(options);
    return options;
}

}  // namespace tritbench::cli
