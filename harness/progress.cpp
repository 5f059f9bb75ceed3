#include "harness/progress.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace tritbench {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr Seconds kTerminalInterval{0.1};
constexpr Seconds kPlainInterval{3.0};
constexpr int kBarWidth = 24;

std::string duration_text(double seconds) {
    const auto s = std::llround(std::max(0.0, seconds));
    if (s < 60) return fmt::format("{}s", s);
    if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
    return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
}

std::string bytes_text(double bytes) {
    if (bytes >= 1e9) return fmt::format("{:.2f} GB", bytes / 1e9);
    if (bytes >= 1e6) return fmt::format("{:.1f} MB", bytes / 1e6);
    return fmt::format("{:.0f} kB", bytes / 1e3);
}

std::string amount_text(uint64_t amount, const std::string& unit) {
    if (unit == "B") return bytes_text(static_cast<double>(amount));
    return unit.empty() ? fmt::format("{}", amount) : fmt::format("{} {}", amount, unit);
}

bool stderr_is_terminal() {
    const char* term = std::getenv("TERM");
    return isatty(STDERR_FILENO) == 1 && !(term && std::string_view(term) == "dumb");
}

size_t terminal_columns() {
    winsize size{};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
    return 80;
}

// Cuts a line that would wrap: a wrapped line cannot be overwritten by the next one. UTF-8
// continuation bytes stay with their character.
void cut_to(std::string& line, size_t columns) {
    if (line.size() <= columns) return;
    size_t end = columns;
    while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;
    line.resize(end);
}

}  // namespace

Progress::Progress(std::string what, uint64_t total, std::string unit)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      terminal_(stderr_is_terminal()),
      start_(Clock::now()),
      drawn_(start_) {}

Progress::~Progress() {
    if (!finished_ && terminal_ && drawn_ != start_) std::fputc('\n', stderr);
}

void Progress::update(uint64_t done, const std::string& note) {
    if (finished_) return;
    const auto now = Clock::now();
    // The first drawing on a terminal is immediate; plain lines appear only for what takes long.
    const bool first = terminal_ && drawn_ == start_;
    if (!first && now - drawn_ < (terminal_ ? kTerminalInterval : kPlainInterval)) return;
    drawn_ = std::max(now, start_ + Clock::duration(1));
    draw(done, note, false);
}

void Progress::finish(const std::string& summary) {
    if (finished_) return;
    draw(total_, summary, true);
    finished_ = true;
}

void Progress::draw(uint64_t done, const std::string& note, bool last) {
    const double elapsed = Seconds(Clock::now() - start_).count();
    std::string line = what_ + ":";
    if (last) {
        line += note.empty() ? " done" : " " + note;
        line += fmt::format(" ({})", duration_text(elapsed));
    } else if (total_ == 0) {
        line += fmt::format(" {}, {}", amount_text(done, unit_), duration_text(elapsed));
    } else {
        const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
        if (terminal_) {
            const int full = static_cast<int>(part * kBarWidth);
            line += " [" + std::string(full, '#') + std::string(kBarWidth - full, '.') + "]";
        }
        line += fmt::format(" {}/{} {:.0f}%", amount_text(done, unit_), amount_text(total_, unit_),
                            100.0 * part);
        if (done > 0 && done < total_)
            line += fmt::format(", {} left", duration_text(elapsed * (1.0 - part) / part));
    }
    if (!last && unit_ == "B" && elapsed > 0.5)
        line += fmt::format(", {}/s", bytes_text(static_cast<double>(done) / elapsed));
    if (!last && !note.empty()) line += "  " + note;

    if (terminal_) {
        if (!last) cut_to(line, terminal_columns() - 1);
        fmt::print(stderr, "\r{}\x1b[K{}", line, last ? "\n" : "");
    } else {
        fmt::print(stderr, "{}\n", line);
    }
    std::fflush(stderr);
}

namespace {

volatile sig_atomic_t g_interrupted = 0;  // the signal
const char* g_message = "";

void on_interrupt(int signal_number) {
    if (g_interrupted) {
        // Asked a second time: die of the signal, so that the parent sees why. It is blocked
        // until this handler returns.
        signal(signal_number, SIG_DFL);
        raise(signal_number);
        return;
    }
    g_interrupted = signal_number;
    [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, g_message, std::strlen(g_message));
}

}  // namespace

bool interrupted() {
    return g_interrupted != 0;
}

int take_interrupt() {
    const int signal_number = g_interrupted;
    g_interrupted = 0;
    return signal_number;
}

void install_interrupt_handler(const char* message) {
    g_message = message;
    struct sigaction action {};
    action.sa_handler = on_interrupt;
    sigemptyset(&action.sa_mask);
    // Restarted calls: a write to a result file must not fail for an interrupt. poll() and sleep
    // return early all the same.
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

}  // namespace tritbench
