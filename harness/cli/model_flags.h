// What the commands that run one model share: its file, its plan, its threads.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "model/tokenizer/tokenizer.h"
#include "model/transformer.h"

namespace tritbench::cli {

// What a file does not say about its own bytes, and what its head shall be.
struct LoadFlags {
    std::string i2s_layout = "x86", kernel_config, head = "stored";

    LoadOptions options() const;       // Error on a bad name or kernel_config.ini
    std::string command_line() const;  // " --i2s-layout arm", or "" for the defaults
};
// Adds --i2s-layout and --kernel-config.
void add_load_flags(CLI::App& command, LoadFlags& flags);
// Adds --pin, for commands that take one policy.
void add_one_pin_flag(CLI::App& command, std::string& pins);
// Adds --head, for commands that run the model.
void add_head_flag(CLI::App& command, LoadFlags& flags);

struct ModelFlags {
    std::string file, kernel, plan, cache_type = "f16";
    int threads = 0;  // 0: one per CPU of the pins
    std::string pins = "default";
    LoadFlags load;

    int thread_count() const;
    std::vector<int> cpus() const;  // of each thread; Error on pins that do not fit
    LoadOptions load_options() const { return load.options(); }
    CacheType cache() const;  // Error unless f16 or f32
};

// Adds -m, --kernel, --plan, --cache-type, -t, --pin, --head and the load flags.
void add_model_flags(CLI::App& command, ModelFlags& flags);

// What serves the linear layers: the one kernel that --kernel names, or the plan of --plan.
Plan choose_plan(const ModelFlags& flags, const GgufFile& file);

// Loads the model from its opened file, with progress on stderr.
std::shared_ptr<const Model> load_model(const ModelFlags& flags,
                                        std::shared_ptr<const GgufFile> file, const Plan& plan,
                                        ThreadPool& pool);

// The tokenizer in the file; its warnings go to stderr.
std::unique_ptr<const Tokenizer> load_tokenizer(const GgufFile& file);

// The whole file. Throws Error naming it; `expected` says what it should hold: "a prompt".
std::string read_file(const std::string& path, const char* expected);

}  // namespace tritbench::cli
