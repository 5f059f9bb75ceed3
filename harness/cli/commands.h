// The subcommands of the tritbench binary: one file each, one function each.
//
// A function adds its subcommand to the app; the callback sets *exit_code to 1 when the thing
// asked about is not so (a kernel is wrong, a gate failed), and throws Error for bad usage or bad
// input, which main prints in one line and turns into exit code 2.
#pragma once

#include <CLI/CLI.hpp>

namespace tritbench::cli {

void add_kernels(CLI::App& app, int* exit_code);
void add_verify(CLI::App& app, int* exit_code);
void add_bench(CLI::App& app, int* exit_code);
void add_roofline(CLI::App& app, int* exit_code);
void add_gen(CLI::App& app, int* exit_code);
void add_info(CLI::App& app, int* exit_code);
void add_e2e(CLI::App& app, int* exit_code);
void add_tune(CLI::App& app, int* exit_code);
void add_sweep(CLI::App& app, int* exit_code);
void add_env(CLI::App& app, int* exit_code);
void add_logits(CLI::App& app, int* exit_code);
void add_run(CLI::App& app, int* exit_code);
void add_perplexity(CLI::App& app, int* exit_code);
void add_tokenize(CLI::App& app, int* exit_code);
void add_convert(CLI::App& app, int* exit_code);
void add_quantize(CLI::App& app, int* exit_code);
void add_coverage(CLI::App& app, int* exit_code);

}  // namespace tritbench::cli
