#include "harness/cli/model_flags.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "harness/cli/run_command.h"
#include "harness/disk_note.h"
#include "harness/environment.h"
#include "harness/named_plan.h"
#include "harness/pins.h"
#include "harness/progress.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/printable.h"

namespace tritbench::cli {

int ModelFlags::thread_count() const {
    return threads == 0 ? cpus_of_pins_here(parse_pins(pins, "--pin")) : threads;
}

std::vector<int> ModelFlags::cpus() const {
    return pins_here(thread_count(), parse_pins(pins, "--pin"));
}

void add_one_pin_flag(CLI::App& command, std::string& pins) {
    command
        .add_option("--pin", pins,
                    "Which CPUs the threads are on: default (a core each while there are any), "
                    "compact, scatter, cores (never two on one), or CPUs such as 0,2,4-7")
        ->capture_default_str();
}

LoadOptions LoadFlags::options() const {
    LoadOptions options;
    options.i2s = parse_i2s_layout(i2s_layout);
    if (!kernel_config.empty()) options.tl_tiles = read_kernel_config(kernel_config);
    options.head = parse_head(head);
    return options;
}

std::string LoadFlags::command_line() const {
    std::string line;
    if (i2s_layout != "x86") line += " --i2s-layout " + i2s_layout;
    if (!kernel_config.empty()) line += " --kernel-config " + shell_word(kernel_config);
    if (head != "stored") line += " --head " + shell_word(head);
    return line;
}

void add_load_flags(CLI::App& command, LoadFlags& flags) {
    command
        .add_option("--i2s-layout", flags.i2s_layout,
                    "How I2_S tensors were packed: x86, arm or row4 (nothing in a file tells)")
        ->capture_default_str();
    command.add_option("--kernel-config", flags.kernel_config,
                       "bitnet.cpp's kernel_config.ini, for TL1 and TL2 tensors without tile keys");
}

void add_head_flag(CLI::App& command, LoadFlags& flags) {
    command
        .add_option("--head", flags.head,
                    "Type of the LM head: stored, or packed anew as f32, f16, bf16, q8_0, q6_k, "
                    "q4_0 or q8_row")
        ->capture_default_str();
}

void add_model_flags(CLI::App& command, ModelFlags& flags) {
    command.add_option("-m,--model", flags.file, "GGUF file")->required();
    auto* kernel = command.add_option("--kernel", flags.kernel, "One kernel for all linear layers");
    command
        .add_option("--plan", flags.plan,
                    "Layouts and kernels of the linear layers: default (what is fastest on this "
                    "CPU; repacks), stored (as the file has them; no repacking), or a FILE.toml "
                    "of `tritbench tune`")
        ->default_str("default")
        ->excludes(kernel);
    command.add_option("--cache-type", flags.cache_type, "KV cache: f16 or f32")
        ->capture_default_str();
    command.add_option("-t,--threads", flags.threads, "Threads (default: one per CPU of --pin)")
        ->check(CLI::Range(1, 1024));
    add_one_pin_flag(command, flags.pins);
    add_load_flags(command, flags.load);
    add_head_flag(command, flags.load);
}

CacheType ModelFlags::cache() const {
    if (cache_type == "f16") return CacheType::F16;
    if (cache_type == "f32") return CacheType::F32;
    throw Error(fmt::format("--cache-type '{}': expected f16 or f32", printable(cache_type, 40)));
}

Plan choose_plan(const ModelFlags& flags, const GgufFile& file) {
    if (flags.kernel.empty()) {
        return plan_named(flags.plan.empty() ? "default" : flags.plan, file, flags.load_options());
    }
    const std::vector<const tb_kernel*> found = match_kernels(flags.kernel);
    if (found.size() != 1) {
        throw Error(fmt::format("--kernel '{}': names {} kernels; expected one", flags.kernel,
                                found.size()));
    }
    return plan_of_kernel(*found.front());
}

namespace {

void warn_of_disk_reads(const GgufFile& file, const Plan& plan, const LoadOptions& options) {
    const uint64_t available = available_memory_bytes();
    if (file.file_bytes() < available / 2) return;
    const ModelConfig config = read_config(file);
    const uint64_t weights =
        weights_of_mapped(plan, config, linear_layout(file, options), config.layers);
    const std::string note = disk_note(file.path().string(), file.file_bytes(), weights, available);
    if (!note.empty()) fmt::print(stderr, "tritbench: warning: {}\n", note);
}

}  // namespace

std::shared_ptr<const Model> load_model(const ModelFlags& flags,
                                        std::shared_ptr<const GgufFile> file, const Plan& plan,
                                        ThreadPool& pool) {
    std::unique_ptr<Progress> progress;  // once the total is known
    const auto show = [&](uint64_t done, uint64_t total) {
        if (progress == nullptr) progress = std::make_unique<Progress>("load", total, "B");
        progress->update(done);
    };
    warn_of_disk_reads(*file, plan, flags.load_options());
    return Model::load(std::move(file), plan, pool, show, flags.load_options());
}

std::unique_ptr<const Tokenizer> load_tokenizer(const GgufFile& file) {
    std::vector<std::string> warnings;
    auto tokenizer = Tokenizer::load(file, &warnings);
    for (const std::string& warning : warnings) {
        fmt::print(stderr, "tritbench: warning: {}\n", warning);
    }
    return tokenizer;
}

// A stream would throw on a folder and say nothing on a missing file. The limit ends a read of
// what has no end, such as /dev/zero.
std::string read_file(const std::string& path, const char* expected) {
    constexpr size_t kMostBytes = size_t{1} << 30;
    std::string text;
    std::FILE* file = std::fopen(path.c_str(), "rb");
    char piece[4096];
    size_t got = 0;
    while (file != nullptr && text.size() <= kMostBytes &&
           (got = std::fread(piece, 1, sizeof piece, file)) > 0) {
        text.append(piece, got);
    }
    const bool failed = file == nullptr || std::ferror(file) != 0;
    const int cause = errno;
    if (file != nullptr) std::fclose(file);
    if (failed) {
        throw Error(fmt::format("{}: cannot read it: {}; expected a file of {}", printable(path),
                                std::strerror(cause), expected));
    }
    if (text.size() > kMostBytes) {
        throw Error(fmt::format("{}: more than {} bytes; expected a file of {}", printable(path),
                                kMostBytes, expected));
    }
    return text;
}

}  // namespace tritbench::cli
