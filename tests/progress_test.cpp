// Progress away from a terminal, and what an interrupt does.
#include "harness/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

namespace tritbench {
namespace {

TEST(ProgressLines, ArePlainAwayFromATerminal) {
    testing::internal::CaptureStderr();
    {
        Progress progress("sweep", 10);
        for (uint64_t i = 0; i <= 10; ++i) progress.update(i, "cell");
        progress.finish("10 cells");
    }
    const std::string out = testing::internal::GetCapturedStderr();
    // Short work: no line but the last, and no control characters.
    EXPECT_EQ(out, "sweep: 10 cells (0s)\n");
}

TEST(ProgressLines, NothingIsWrittenWhenAbandonedAtOnce) {
    testing::internal::CaptureStderr();
    { Progress progress("gen", 1000, "B"); }
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(ProgressLines, FinishWithoutSummaryAndOnlyOnce) {
    testing::internal::CaptureStderr();
    {
        Progress progress("gen", 0, "B");
        progress.update(5'000'000);
        progress.finish();
        progress.finish("again");
        progress.update(6'000'000);
    }
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "gen: done (0s)\n");
}

// Stderr on a pseudo terminal for as long as it lives.
class TerminalStderr {
  public:
    TerminalStderr() : master_(posix_openpt(O_RDWR | O_NOCTTY)), saved_(dup(STDERR_FILENO)) {
        if (master_ < 0 || grantpt(master_) != 0 || unlockpt(master_) != 0) return;
        const int slave = open(ptsname(master_), O_RDWR | O_NOCTTY);
        if (slave < 0) return;
        dup2(slave, STDERR_FILENO);
        close(slave);
        setenv("TERM", "xterm", 1);
    }
    ~TerminalStderr() {
        dup2(saved_, STDERR_FILENO);
        close(saved_);
        close(master_);
    }
    TerminalStderr(const TerminalStderr&) = delete;
    TerminalStderr& operator=(const TerminalStderr&) = delete;

    static bool works() { return isatty(STDERR_FILENO) == 1; }
    // All that was written, up to the first pause.
    std::string written() const {
        fcntl(master_, F_SETFL, O_NONBLOCK);
        std::string all;
        char buffer[4096];
        for (ssize_t n; (n = read(master_, buffer, sizeof buffer)) > 0;)
            all.append(buffer, static_cast<size_t>(n));
        return all;
    }

  private:
    int master_, saved_;
};

TEST(ProgressBar, IsRedrawnInPlaceOnATerminal) {
    std::string out;
    bool terminal = false;
    {
        const TerminalStderr stderr_on_terminal;
        terminal = TerminalStderr::works();
        if (terminal) {
            Progress progress("sweep", 8);
            progress.update(2, std::string(300, 'x'));  // would wrap: it is cut
            progress.finish("8 cells");
            out = stderr_on_terminal.written();
        }
    }
    if (!terminal) GTEST_SKIP() << "no pseudo terminals here";
    const size_t second = out.find('\r', 1);
    ASSERT_NE(second, std::string::npos) << out;
    EXPECT_TRUE(out.starts_with("\rsweep: [######..................] 2/8 25%, ")) << out;
    EXPECT_NE(out.find(" left"), std::string::npos) << out;
    EXPECT_LT(second, 90u) << out;
    // The second drawing covers the first one and ends the line.
    EXPECT_EQ(out.substr(second), "\rsweep: 8 cells (0s)\x1b[K\r\n");
}

// Each runs in a process of its own: signals and their handlers are of the process.
TEST(InterruptDeathTest, FirstOneIsNotedAndTheLoopMayEnd) {
    EXPECT_EXIT(
        {
            install_interrupt_handler();
            const bool before = interrupted();
            raise(SIGINT);
            std::exit(!before && interrupted() ? 7 : 1);
        },
        testing::ExitedWithCode(7), "interrupted: finishing what is under way");
}

TEST(InterruptDeathTest, SecondOneKills) {
    EXPECT_EXIT(
        {
            install_interrupt_handler();
            raise(SIGINT);
            raise(SIGINT);
            std::exit(0);
        },
        testing::KilledBySignal(SIGINT), "");
}

TEST(InterruptDeathTest, TerminationCountsAsOne) {
    EXPECT_EXIT(
        {
            install_interrupt_handler();
            raise(SIGTERM);
            if (!interrupted()) std::exit(1);
            raise(SIGTERM);
            std::exit(0);
        },
        testing::KilledBySignal(SIGTERM), "");
}

TEST(InterruptDeathTest, TakenAnInterruptIsOverAndTheNextOneIsAFirstOne) {
    EXPECT_EXIT(
        {
            install_interrupt_handler("stopping the answer");
            bool right = take_interrupt() == 0;
            raise(SIGINT);
            right = right && take_interrupt() == SIGINT && !interrupted() && take_interrupt() == 0;
            raise(SIGTERM);
            right = right && interrupted() && take_interrupt() == SIGTERM;
            std::exit(right ? 7 : 1);
        },
        testing::ExitedWithCode(7), "^stopping the answerstopping the answer$");
}

}  // namespace
}  // namespace tritbench
