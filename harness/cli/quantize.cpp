// tritbench quantize: one GGUF file to another, with matrices stored in other formats.
#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/model_flags.h"
#include "harness/cli/output_flags.h"
#include "kernels/api/error.h"
#include "model/convert/requantize.h"

namespace tritbench::cli {
namespace {

struct QuantizeFlags {
    OutputFlags out;
    LoadFlags load;
    std::string input;
};

int run_quantize(const QuantizeFlags& flags) {
    if (flags.out.type.empty() && flags.out.embedding.empty() && flags.out.head.empty()) {
        throw Error("quantize needs --type, --embedding-type or --head-type: what to store anew");
    }
    RequantizeOptions options;
    options.linear = flags.out.linear_format();
    options.outer = flags.out.outer_formats();
    options.source = flags.load.options();
    const GgufFile source(flags.input);
    refuse_same_file(source, flags.out.output);
    check_output(flags.out.output, flags.out.force);
    return write_output(flags.out, "quantize",
                        [&](ThreadPool& pool, const ConvertProgress& progress) {
                            return requantize(source, flags.out.output, options, pool, progress);
                        });
}

}  // namespace

void add_quantize(CLI::App& app, int* exit_code) {
    auto* command = app.add_subcommand(
        "quantize",
        "Store the linear layers, embedding or LM head of a GGUF file in other formats");
    auto flags = std::make_shared<QuantizeFlags>();
    command->add_option("input", flags->input, "The GGUF file to read")->required();
    command->add_option("output", flags->out.output, "The GGUF file to write")->required();
    add_output_flags(*command, flags->out);
    add_load_flags(*command, flags->load);
    command->callback([flags, exit_code] { *exit_code = run_quantize(*flags); });
}

}  // namespace tritbench::cli
