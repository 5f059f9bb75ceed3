// Runs measuring code in a forked child, so that a crash, a hang or an exit() ends one cell, not
// the run.
//
// Messages travel through a pipe as JSON lines. Which cell the child is at, and that it is alive,
// is told through a shared page instead: a store, so that the waiting parent is not woken on a
// CPU that is being timed.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace tritbench {

// The child's side.
class ChildReporter {
  public:
    // A step begins: it belongs to `cell` (-1: to none of them) and is killed as a hang when it
    // takes longer than budget_s.
    void begin(int cell, double budget_s) { begin(cell, budget_s, false); }
    // The same for a step that loads or packs weights.
    void begin_loading(int cell, double budget_s) { begin(cell, budget_s, true); }
    // The step goes on and has shown that it is alive: its time starts anew.
    void alive();
    // Progress in units of the caller.
    void advance(uint64_t units);
    void send(const nlohmann::json& message);

    struct Shared;
    ChildReporter(Shared* shared, int pipe) : shared_(shared), pipe_(pipe) {}

  private:
    void begin(int cell, double budget_s, bool loading);

    Shared* shared_;
    int pipe_;
};

enum class ChildEnd {
    Finished,    // the work returned
    Error,       // it threw: reason is the message
    Crashed,     // a signal, or exit() in the middle: reason names it
    TimedOut,    // a step went past its budget
    Interrupted  // SIGINT or SIGTERM to the parent
};

struct ChildOutcome {
    ChildEnd end = ChildEnd::Finished;
    int cell = -1;  // of the step the child was at, unless Finished
    std::string reason;
};

struct ChildOptions {
    double begin_budget_s = 60;  // until the first begin()
    // Called in the parent about ten times a second with the cell and the sum of advance(); during
    // a begin_loading() step on_loading instead, if there is one.
    std::function<void(int cell, uint64_t done)> on_tick;
    std::function<void(int cell, uint64_t done)> on_loading;
};

// Forks, runs `work` in the child, gives its messages to on_message in the parent, waits. The
// parent must have one thread. Throws Error when there can be no child, and whatever on_message
// throws, after the child is gone.
ChildOutcome run_in_child(const std::function<void(ChildReporter&)>& work,
                          const std::function<void(const nlohmann::json&)>& on_message,
                          const ChildOptions& options = {});

}  // namespace tritbench
