#include "harness/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "harness/measure.h"
#include "harness/progress.h"
#include "kernels/api/error.h"

namespace tritbench {

struct ChildReporter::Shared {
    std::atomic<int32_t> cell{-1};
    std::atomic<bool> loading{false};
    std::atomic<uint64_t> beat{0};  // changes whenever the child shows that it is alive
    std::atomic<int64_t> budget_ns{0};
    std::atomic<uint64_t> done{0};
};

void ChildReporter::begin(int cell, double budget_s, bool loading) {
    shared_->cell.store(cell);
    shared_->loading.store(loading);
    shared_->budget_ns.store(static_cast<int64_t>(budget_s * 1e9));
    alive();
}

void ChildReporter::alive() {
    shared_->beat.fetch_add(1);
}

void ChildReporter::advance(uint64_t units) {
    shared_->done.fetch_add(units);
}

void ChildReporter::send(const nlohmann::json& message) {
    // Replacement of invalid UTF-8: a path may hold any bytes.
    const std::string line =
        message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
    for (size_t sent = 0; sent < line.size();) {
        const ssize_t n = ::write(pipe_, line.data() + sent, line.size() - sent);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) _exit(1);  // the parent is gone
        sent += static_cast<size_t>(n);
    }
}

namespace {

constexpr int kExitCalled = 113;

// The page shared by parent and child, and the pipe; both released on every path.
class Channel {
  public:
    Channel() {
        void* page = mmap(nullptr, sizeof(ChildReporter::Shared), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) {
            throw Error(
                fmt::format("cannot map a page shared with a child: {}", std::strerror(errno)));
        }
        shared = new (page) ChildReporter::Shared;
        if (pipe2(ends, O_CLOEXEC) != 0) {
            throw Error(fmt::format("cannot make a pipe to a child: {}", std::strerror(errno)));
        }
    }
    ~Channel() {
        munmap(static_cast<void*>(shared), sizeof(ChildReporter::Shared));
        close_end(0);
        close_end(1);
    }
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    void close_end(int end) {
        if (ends[end] >= 0) ::close(ends[end]);
        ends[end] = -1;
    }

    ChildReporter::Shared* shared = nullptr;
    int ends[2] = {-1, -1};
};

// Kills and reaps whatever happens to the parent's side.
class ChildProcess {
  public:
    explicit ChildProcess(pid_t pid) : pid_(pid) {}
    ~ChildProcess() { kill_and_wait(); }
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    void kill_and_wait() {
        if (pid_ > 0) ::kill(pid_, SIGKILL);
        wait();
    }
    int wait() {
        int status = 0;
        while (pid_ > 0 && waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return status;
    }

  private:
    pid_t pid_;
};

[[noreturn]] void child_main(Channel& channel, const std::function<void(ChildReporter&)>& work,
                             pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a killed parent leaves no measuring child behind
    if (getppid() != parent) _exit(1);
    std::signal(SIGINT, SIG_IGN);  // Ctrl-C reaches the whole group: the parent decides
    std::signal(SIGTERM, SIG_DFL);
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    // Registered last, so run first: a kernel that calls exit() runs none of the parent's handlers.
    std::atexit([] { _exit(kExitCalled); });
    channel.close_end(0);
    ChildReporter reporter(channel.shared, channel.ends[1]);
    try {
        work(reporter);
        reporter.send({{"type", "done"}});
    } catch (const std::exception& e) {
        reporter.send({{"type", "error"}, {"reason", e.what()}});
    }
    _exit(0);
}

std::string signal_name(int signal) {
    const char* name = sigabbrev_np(signal);
    return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", signal);
}

std::string describe_exit(int status) {
    if (WIFSIGNALED(status)) return fmt::format("killed by {}", signal_name(WTERMSIG(status)));
    if (WEXITSTATUS(status) == kExitCalled) return "called exit() in the middle of the cell";
    return fmt::format("ended with exit code {} in the middle of the cell", WEXITSTATUS(status));
}

// Reads messages until the pipe closes, a step hangs or the user interrupts.
class Listener {
  public:
    Listener(Channel& channel, const std::function<void(const nlohmann::json&)>& on_message,
             const ChildOptions& options)
        : channel_(channel), on_message_(on_message), options_(options) {}

    // Finished here means: the pipe closed, see `done` and `error`.
    ChildEnd listen() {
        uint64_t beat = channel_.shared->beat.load();
        int64_t beat_at = now_ns();
        while (true) {
            if (interrupted()) return ChildEnd::Interrupted;
            pollfd waiting{channel_.ends[0], POLLIN, 0};
            const int ready = ::poll(&waiting, 1, 100);
            if (ready > 0 && !receive()) return ChildEnd::Finished;
            if (const uint64_t now = channel_.shared->beat.load(); now != beat) {
                beat = now;
                beat_at = now_ns();
            } else if (now_ns() - beat_at > channel_.shared->budget_ns.load()) {
                return ChildEnd::TimedOut;
            }
            const bool loading = options_.on_loading && channel_.shared->loading.load();
            const auto& tick = loading ? options_.on_loading : options_.on_tick;
            if (tick) tick(channel_.shared->cell.load(), channel_.shared->done.load());
        }
    }

    bool done = false;
    std::string error;

  private:
    // False at the end of the pipe.
    bool receive() {
        char bytes[1 << 16];
        const ssize_t n = ::read(channel_.ends[0], bytes, sizeof bytes);
        if (n < 0) return errno == EINTR || errno == EAGAIN;
        if (n == 0) return false;
        pending_.append(bytes, static_cast<size_t>(n));
        size_t begin = 0;
        for (size_t end; (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1) {
            handle(nlohmann::json::parse(pending_.substr(begin, end - begin), nullptr, false));
        }
        pending_.erase(0, begin);
        return true;
    }

    void handle(const nlohmann::json& message) {
        const std::string type = message.is_object() ? message.value("type", "") : "garbled";
        if (type == "garbled") {
            error = "the child wrote something else than a message";
        } else if (type == "done") {
            done = true;
        } else if (type == "error") {
            error = message.value("reason", "unknown error");
        } else {
            on_message_(message);
        }
    }

    Channel& channel_;
    const std::function<void(const nlohmann::json&)>& on_message_;
    const ChildOptions& options_;
    std::string pending_;
};

}  // namespace

ChildOutcome run_in_child(const std::function<void(ChildReporter&)>& work,
                          const std::function<void(const nlohmann::json&)>& on_message,
                          const ChildOptions& options) {
    Channel channel;
    channel.shared->budget_ns.store(static_cast<int64_t>(options.begin_budget_s * 1e9));
    std::fflush(nullptr);  // or the child could write the same buffered text again
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) throw Error(fmt::format("cannot start a child process: {}", std::strerror(errno)));
    if (pid == 0) child_main(channel, work, parent);
    ChildProcess child(pid);
    channel.close_end(1);

    Listener listener(channel, on_message, options);
    ChildOutcome outcome{listener.listen(), channel.shared->cell.load(), ""};
    if (outcome.end == ChildEnd::TimedOut) {
        child.kill_and_wait();
        outcome.reason = fmt::format("no end after {:.0f} s, killed",
                                     static_cast<double>(channel.shared->budget_ns.load()) / 1e9);
    } else if (outcome.end == ChildEnd::Interrupted) {
        child.kill_and_wait();
        outcome.reason = "interrupted";
    } else {
        const int status = child.wait();
        outcome.cell = channel.shared->cell.load();
        if (!listener.error.empty()) {
            outcome.end = ChildEnd::Error;
            outcome.reason = listener.error;
        } else if (!listener.done) {
            outcome.end = ChildEnd::Crashed;
            outcome.reason = describe_exit(status);
        }
    }
    return outcome;
}

}  // namespace tritbench
