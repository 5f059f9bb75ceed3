// tritbench convert: a Hugging Face folder as a GGUF file.
#include "model/convert/convert.h"

#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/output_flags.h"
#include "kernels/api/error.h"

namespace tritbench::cli {
namespace {

struct ConvertFlags {
    OutputFlags out;
    std::string folder, weight_scale, pre;
    bool no_tokenizer = false;
};

int run_convert(const ConvertFlags& flags) {
    check_output(flags.out.output, flags.out.force);
    ConvertOptions options;
    options.linear = flags.out.linear_format().value_or(parse_format("i2_s"));
    options.outer = flags.out.outer_formats();
    options.tokenizer = !flags.no_tokenizer;
    options.pre = flags.pre;
    if (!flags.weight_scale.empty()) {
        options.weight_scale =
            flags.weight_scale == "direct" ? WeightScale::Direct : WeightScale::Inverse;
    }
    return write_output(
        flags.out, "convert", [&](ThreadPool& pool, const ConvertProgress& progress) {
            return convert_folder(flags.folder, flags.out.output, options, pool, progress);
        });
}

}  // namespace

void add_convert(CLI::App& app, int* exit_code) {
    auto* command =
        app.add_subcommand("convert", "Turn a Hugging Face folder (safetensors) into a GGUF file");
    auto flags = std::make_shared<ConvertFlags>();
    command
        ->add_option("folder", flags->folder,
                     "config.json, *.safetensors and tokenizer.json of a BitNet b1.58 model: "
                     "packed or master weights")
        ->required();
    command->add_option("-o,--output", flags->out.output, "The file to write")->required();
    add_output_flags(*command, flags->out);
    command
        ->add_option("--weight-scale", flags->weight_scale,
                     "Packed weights: weight_scale is the scale itself, or its inverse (default: "
                     "as config.json says)")
        ->check(CLI::IsMember({"direct", "inverse"}));
    command->add_option("--pre", flags->pre,
                        "Name of the pre-tokenizer (default: found out from tokenizer.json)");
    command->add_flag("--no-tokenizer", flags->no_tokenizer, "Leave the vocabulary out");
    command->callback([flags, exit_code] { *exit_code = run_convert(*flags); });
}

}  // namespace tritbench::cli
