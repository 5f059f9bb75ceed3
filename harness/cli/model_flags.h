// What the commands that run one model share: its file, its kernel, its threads.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "model/tokenizer/tokenizer.h"
#include "model/transformer.h"

namespace tritbench::cli {

// What a file does not say about its own bytes.
struct LoadFlags {
    std::string i2s_layout = "x86", kernel_config;

    LoadOptions options() const;       // Error on a bad layout name or kernel_config.ini
    std::string command_line() const;  // " --i2s-layout arm", or "" for the defaults
};
// Adds --i2s-layout and --kernel-config.
void add_load_flags(CLI::App& command, LoadFlags& flags);

struct ModelFlags {
    std::string file, kernel;
    int threads = 0;  // 0: one per allowed CPU
    LoadFlags load;

    int thread_count() const;
    LoadOptions load_options() const { return load.options(); }
};

// Adds -m, --kernel, -t, --i2s-layout and --kernel-config.
void add_model_flags(CLI::App& command, ModelFlags& flags);

// The kernel of the linear layers: the one that --kernel names, or default_kernel of the file.
// Throws Error unless it is exactly one.
const tb_kernel& choose_kernel(const ModelFlags& flags);

// Loads the model from its opened file, with progress on stderr.
std::shared_ptr<const Model> load_model(const ModelFlags& flags,
                                        std::shared_ptr<const GgufFile> file,
                                        const tb_kernel& kernel, ThreadPool& pool);

// The tokenizer in the file; its warnings go to stderr.
std::unique_ptr<const Tokenizer> load_tokenizer(const GgufFile& file);

// The whole file. Throws Error naming it; `expected` says what it should hold: "a prompt".
std::string read_file(const std::string& path, const char* expected);

}  // namespace tritbench::cli
