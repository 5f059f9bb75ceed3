#include "harness/cli/output_flags.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "harness/progress.h"
#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench::cli {
namespace {

namespace fs = std::filesystem;

std::optional<MatrixFormat> format_of(const std::string& text) {
    if (text.empty()) return std::nullopt;
    return parse_format(text);
}

}  // namespace

void check_output(const std::string& path, bool force) {
    if (path == "-") {
        throw Error("-o -: a model is not written to standard output, name a file");
    }
    std::error_code ignored;
    if (!force && fs::exists(path, ignored)) {
        throw Error(fmt::format("{}: exists already; --force replaces it", printable(path, 300)));
    }
}

std::optional<MatrixFormat> OutputFlags::linear_format() const {
    return format_of(type);
}

OuterFormats OutputFlags::outer_formats() const {
    return {format_of(embedding), format_of(head)};
}

void add_output_flags(CLI::App& command, OutputFlags& flags) {
    command.add_option("--type", flags.type,
                       "Format of the linear layers: i2_s, tl1, tl2, tq1_0, tq2_0, f16, bf16, f32, "
                       "or a layout of 'tritbench kernels' (i2r, t3r, t5r, int8, iq1_bn, ...);\na "
                       "tile may follow: tl2:BM=160,BK=96");
    command.add_option("--embedding-type", flags.embedding,
                       "Format of the embedding: f16, bf16, f32, q8_0, q6_k, q4_0");
    command.add_option(
        "--head-type", flags.head,
        "Format of the LM head, the same names; a model whose head is its\nembedding "
        "gets a head of its own");
    command.add_option("-t,--threads", flags.threads, "Threads (default: one per allowed CPU)")
        ->check(CLI::Range(1, 1024));
    command.add_flag("--force", flags.force, "Replace an existing file");
}

int write_output(const OutputFlags& flags, const std::string& what, const OutputWork& work) {
    ThreadPool pool(flags.threads == 0 ? static_cast<int>(allowed_cpus().size()) : flags.threads,
                    {}, false);
    install_interrupt_handler();
    std::unique_ptr<Progress> progress;  // once the total is known
    const ConvertResult result = work(pool, [&](uint64_t done, uint64_t total) {
        if (progress == nullptr) {
            progress = std::make_unique<Progress>(
                fmt::format("{} {}", what, printable(fs::path(flags.output).filename().string())),
                total);
        }
        progress->update(done);
        return !interrupted();
    });
    if (!result.complete) {
        if (progress != nullptr) progress->finish("interrupted, nothing kept");
        return kInterrupted;
    }
    if (progress != nullptr) progress->finish();
    for (const std::string& note : result.notes) fmt::print("note: {}\n", note);
    fmt::print("{}: {} parameters, {:.4g} GB\n", printable(flags.output, 300), result.parameters,
               static_cast<double>(fs::file_size(flags.output)) * 1e-9);
    return 0;
}

}  // namespace tritbench::cli
