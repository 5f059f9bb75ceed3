// Progress of long work: a bar with ETA on a terminal (stderr), plain lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace tritbench {

class Progress {
  public:
    // unit: "" for counts, "B" for bytes (shown as MB, GB). total 0: unknown.
    Progress(std::string what, uint64_t total, std::string unit = "");
    ~Progress();  // ends the line
    void update(uint64_t done, const std::string& note = "");
    void finish(const std::string& summary = "");

  private:
    void draw(uint64_t done, const std::string& note, bool last);
    std::string what_, unit_;
    uint64_t total_;
    bool terminal_, finished_ = false;
    std::chrono::steady_clock::time_point start_, drawn_;
};

// Set by SIGINT and SIGTERM once install_interrupt_handler() was called; long loops poll it. The
// handler says `message` on stderr, which must live as long as the program; a second signal kills.
bool interrupted();
void install_interrupt_handler(
    const char* message = "\ninterrupted: finishing what is under way (again to kill)\n");

// Exit code of what an interrupt ended early: 128 + SIGINT, as shells report it.
inline constexpr int kInterrupted = 130;

// The signal that interrupted, 0 if none has, and begins anew: what it was meant for has ended.
int take_interrupt();

}  // namespace tritbench
