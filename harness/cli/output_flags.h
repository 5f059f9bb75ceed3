// What the commands that write a GGUF file share: formats, threads, where to, progress.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>

#include "model/convert/convert.h"
#include "model/thread_pool.h"

namespace tritbench::cli {

// Throws Error if a model cannot be written to this path: standard output, or a file that exists
// already (unless force).
void check_output(const std::string& path, bool force);

struct OutputFlags {
    std::string output, type, embedding, head;
    int threads = 0;  // 0: one per allowed CPU
    bool force = false;

    std::optional<MatrixFormat> linear_format() const;  // empty unless --type was given
    OuterFormats outer_formats() const;
};

// Adds --type, --embedding-type, --head-type, -t and --force.
void add_output_flags(CLI::App& command, OutputFlags& flags);

// Runs `work` with a pool, and progress that Ctrl-C ends; prints its notes and a summary of the
// file. Returns the exit code.
using OutputWork = std::function<ConvertResult(ThreadPool&, const ConvertProgress&)>;
int write_output(const OutputFlags& flags, const std::string& what, const OutputWork& work);

}  // namespace tritbench::cli
