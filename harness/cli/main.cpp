// The tritbench binary: parses the command line and turns errors into one line and an exit code.
//
// Exit codes: 0 right, 1 the thing asked about is not so, 2 bad usage or bad input.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <vector>

#include "harness/cli/commands.h"
#include "harness/version.h"
#include "kernels/api/cpu.h"
#include "kernels/api/error.h"

namespace {

struct LongOption {
    const char* command;
    const char* llama_cpp;
    const char* ours;
};

// llama.cpp has options of several letters after one dash, which CLI11 reads as -c with the value
// "nv".
constexpr LongOption kLongOptions[] = {{"run", "-cnv", "--conversation"},
                                       {"run", "-sys", "--system-prompt"},
                                       {"e2e", "-pg", "--prompt-and-gen"},
                                       {"e2e", "-np", "--parallel"}};

const char* spelt_out(const char* command, const char* argument) {
    for (const LongOption& option : kLongOptions) {
        if (std::strcmp(command, option.command) == 0 &&
            std::strcmp(argument, option.llama_cpp) == 0) {
            return option.ours;
        }
    }
    return argument;
}

}  // namespace

int main(int argc, char** argv) {
    using namespace tritbench;
    std::vector<const char*> arguments(argv, argv + argc);
    if (argc > 1) {
        std::transform(arguments.begin(), arguments.end(), arguments.begin(),
                       [&](const char* argument) { return spelt_out(argv[1], argument); });
    }
    CLI::App app{"tritbench: a bench for ternary (BitNet b1.58) matrix kernels and models"};
    app.set_version_flag("--version", version_text());
    app.require_subcommand(1);
    app.get_formatter()->column_width(34);
    // A limit of file sizes is an error to report, as a full disk is.
    std::signal(SIGXFSZ, SIG_IGN);
    int exit_code = 0;
    try {
        cli::add_kernels(app, &exit_code);
        cli::add_verify(app, &exit_code);
        cli::add_bench(app, &exit_code);
        cli::add_sweep(app, &exit_code);
        cli::add_e2e(app, &exit_code);
        cli::add_tune(app, &exit_code);
        cli::add_roofline(app, &exit_code);
        cli::add_gen(app, &exit_code);
        cli::add_info(app, &exit_code);
        cli::add_convert(app, &exit_code);
        cli::add_quantize(app, &exit_code);
        cli::add_run(app, &exit_code);
        cli::add_logits(app, &exit_code);
        cli::add_perplexity(app, &exit_code);
        cli::add_tokenize(app, &exit_code);
        cli::add_env(app, &exit_code);
        cli::add_coverage(app, &exit_code);
        allowed_features();  // a misspelt TRITBENCH_CPU is bad usage of any command
        app.parse(argc, arguments.data());
    } catch (const CLI::Success& e) {
        return app.exit(e);
    } catch (const CLI::RequiredError& e) {
        // No subcommand, or one that does not exist: name it rather than what is missing.
        const bool word = argc > 1 && argv[1][0] != '-' && app.get_subcommands().empty();
        std::fprintf(stderr, "tritbench: %s%s (try --help)\n",
                     word ? "unknown command: " : e.what(), word ? argv[1] : "");
        return 2;
    } catch (const CLI::ParseError& e) {
        std::fprintf(stderr, "tritbench: %s (try --help)\n", e.what());
        return 2;
    } catch (const Error& e) {
        std::fprintf(stderr, "tritbench: %s\n", e.what());
        return 2;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "tritbench: internal error: %s\n", e.what());
        return 2;
    }
    return exit_code;
}
