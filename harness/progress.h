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

// Set by SIGINT and SIGTERM once install_interrupt_handler() was called; long loops poll it.
bool interrupted();
void install_interrupt_handler();

}  // namespace tritbench
