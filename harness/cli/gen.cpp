// tritbench gen: dummy models.
#include <fmt/format.h>

#include <memory>

#include "harness/cli/commands.h"
#include "harness/cli/gen_flags.h"
#include "harness/cli/gen_list.h"
#include "harness/cli/output_flags.h"
#include "harness/progress.h"
#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench::cli {
namespace {

namespace fs = std::filesystem;

void list_presets(const GenFlags& flags, bool one_format) {
    std::vector<GenListColumn> columns = usual_formats();
    if (one_format) columns = {{flags.format, {}}};
    for (GenListColumn& column : columns) {
        const DummyFormats wanted = flags.formats();
        if (one_format) column.formats = wanted;
        column.formats.embedding = wanted.embedding;
        column.formats.head = wanted.head;
    }
    print_presets(columns, flags.json);
}

int generate(const GenFlags& flags) {
    std::unique_ptr<const GgufFile> vocabulary;
    const DummyOptions options = dummy_options(flags, vocabulary);
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
    for (const std::string& note : dummy_notes(options)) fmt::print("note: {}\n", note);
    fmt::print("{}: {}, {} parameters, {:.2f} GB, {}, seed {}, zeros {:.4g}\n",
               printable(flags.output, 300), options.config.name,
               count_parameters(options.config).total(),
               static_cast<double>(fs::file_size(flags.output)) * 1e-9,
               linear_formats_name(options.formats), flags.seed, flags.zeros);
    return 0;
}

}  // namespace

void add_gen(CLI::App& app, int* exit_code) {
    auto* command = app.add_subcommand("gen", "Write a dummy model of any size as a GGUF file");
    auto flags = std::make_shared<GenFlags>();
    add_gen_flags(*command, *flags);
    command->callback([flags, command, exit_code] {
        if (flags->list) {
            list_presets(*flags, command->count("--format") > 0);
        } else {
            *exit_code = generate(*flags);
        }
    });
}

}  // namespace tritbench::cli
