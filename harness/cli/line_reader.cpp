#include "harness/cli/line_reader.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "harness/progress.h"
#include "kernels/api/error.h"

namespace tritbench::cli {

namespace {

constexpr size_t kMostLineBytes = size_t{16} << 20;
// poll() returns early for a signal, but one may come just before it.
constexpr int kPollMs = 200;

}  // namespace

std::optional<std::string> LineReader::next() {
    for (size_t looked = 0;;) {
        const size_t end = ahead_.find('\n', looked);
        if (end != std::string::npos) {
            std::string line = ahead_.substr(0, end);
            ahead_.erase(0, end + 1);
            return line;
        }
        looked = ahead_.size();
        if (looked > kMostLineBytes) {
            throw Error(
                fmt::format("standard input: a line of more than {} bytes", kMostLineBytes));
        }
        if (ended_) {
            if (ahead_.empty()) return std::nullopt;
            return std::exchange(ahead_, {});
        }
        if (interrupted()) return std::nullopt;
        pollfd input{STDIN_FILENO, POLLIN, 0};
        if (poll(&input, 1, kPollMs) <= 0) continue;
        char piece[4096];
        const ssize_t got = read(STDIN_FILENO, piece, sizeof piece);
        if (got < 0 && errno != EINTR) {
            throw Error(fmt::format("standard input: cannot read it: {}", std::strerror(errno)));
        }
        if (got == 0) ended_ = true;
        if (got > 0) ahead_.append(piece, static_cast<size_t>(got));
    }
}

}  // namespace tritbench::cli
