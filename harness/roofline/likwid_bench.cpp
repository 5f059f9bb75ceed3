#include "harness/roofline/likwid_bench.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <vector>

#include "harness/system_files.h"
#include "kernels/api/cpu.h"

extern char** environ;

namespace tritbench {
namespace {

struct CommandOutput {
    std::string text;  // of stdout and stderr
    int status = -1;   // as waitpid gives it
    bool too_long = false;
};

// Reads until the pipe closes or the time is up; false then.
bool read_until(int fd, std::string& text, std::chrono::steady_clock::time_point end) {
    char bytes[4096];
    while (true) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            end - std::chrono::steady_clock::now());
        if (left.count() <= 0) return false;
        pollfd waiting{fd, POLLIN, 0};
        if (::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) continue;
        const ssize_t n = ::read(fd, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return true;
        text.append(bytes, static_cast<size_t>(n));
    }
}

std::optional<CommandOutput> run_command(const std::vector<std::string>& words, double limit_s) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_t pid = -1;
    const int problem =
        ::posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    std::optional<CommandOutput> output;
    if (problem == 0) {
        output.emplace();
        const auto limit = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
            std::chrono::duration<double>(limit_s));
        output->too_long =
            !read_until(ends[0], output->text, std::chrono::steady_clock::now() + limit);
        if (output->too_long) ::kill(pid, SIGKILL);
        while (::waitpid(pid, &output->status, 0) < 0 && errno == EINTR) {
        }
    }
    ::close(ends[0]);
    return output;
}

// A number and nothing after it.
std::optional<double> whole_number_text(const std::string& text) {
    double value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

std::string find_likwid_bench(const char* path) {
    std::string_view rest = path != nullptr ? path : "";
    while (!rest.empty()) {
        const std::string_view folder = rest.substr(0, rest.find(':'));
        rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
        if (folder.empty()) continue;
        const std::string program = fmt::format("{}/likwid-bench", folder);
        if (::access(program.c_str(), X_OK) == 0) return program;
    }
    return "";
}

std::string likwid_load_test() {
    const uint64_t features = allowed_features();
    if ((features & TB_FEATURE_AVX512F) != 0) return "load_avx512";
    if ((features & TB_FEATURE_AVX) != 0) return "load_avx";
    if ((features & TB_FEATURE_SSSE3) != 0) return "load_sse";
    return "load";
}

std::optional<double> parse_likwid_bandwidth(std::string_view output) {
    constexpr std::string_view kName = "MByte/s:";
    std::optional<double> found;
    for (const std::string& line : lines_of(output)) {
        if (!line.starts_with(kName)) continue;
        const auto words = words_of(std::string_view(line).substr(kName.size()));
        const auto number = words.size() == 1 ? whole_number_text(words[0]) : std::nullopt;
        if (found || !number || !std::isfinite(*number) || *number <= 0) return std::nullopt;
        found = *number / 1000;
    }
    return found;
}

LikwidReading run_likwid_bench(const std::string& program, const std::string& test, int threads,
                               uint64_t footprint_bytes, uint64_t iterations, double limit_s) {
    const auto output = run_command(
        {program, "-t", test, "-W", fmt::format("N:{}kB:{}", footprint_bytes / 1000, threads), "-i",
         fmt::format("{}", iterations)},
        limit_s);
    if (!output) return {0, fmt::format("{}: cannot be run", program)};
    if (output->too_long) return {0, fmt::format("no answer after {:.0f} s", limit_s)};
    if (!WIFEXITED(output->status) || WEXITSTATUS(output->status) != 0) {
        const auto lines = lines_of(output->text);
        return {0, lines.empty() ? "it failed without a word" : "it says: " + lines.front()};
    }
    const auto rate = parse_likwid_bandwidth(output->text);
    if (!rate) return {0, "its output has not one line 'MByte/s:' with a rate"};
    return {*rate, ""};
}

}  // namespace tritbench
