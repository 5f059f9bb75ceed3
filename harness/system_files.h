// Reading the small text files of /proc and /sys, below a root that tests can replace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tritbench {

class SystemFiles {
  public:
    explicit SystemFiles(std::string root) : root_(std::move(root)) {
        if (root_.empty() || root_.back() != '/') root_ += '/';
    }

    bool is_real() const { return root_ == "/"; }
    std::string path(std::string_view relative) const { return root_ + std::string(relative); }

    // The whole file, trailing white space removed; empty optional if it cannot be read.
    std::optional<std::string> text(std::string_view relative) const;
    // The same, empty optional also for an empty file.
    std::optional<std::string> word(std::string_view relative) const;
    std::optional<int64_t> integer(std::string_view relative) const;
    bool exists(std::string_view relative) const;
    // Names in a folder, sorted; none if it cannot be read.
    std::vector<std::string> names(std::string_view relative) const;

  private:
    std::string root_;
};

std::vector<std::string> lines_of(std::string_view text);
std::vector<std::string> words_of(std::string_view text);

// The number a text begins with; empty optional if there is none.
std::optional<int64_t> leading_integer(std::string_view text);
std::optional<double> leading_number(std::string_view text);

// "48K" or "2M" to bytes.
std::optional<uint64_t> size_with_suffix(std::string_view text);

// "0-3,8" to its CPUs; empty optional if malformed.
std::optional<std::vector<int>> cpu_list(std::string_view text);

// The inverse, of ascending CPUs.
std::string cpu_list_text(const std::vector<int>& cpus);

// The value of "name<white space>: value", as in /proc/cpuinfo, /proc/meminfo, /proc/self/status.
std::optional<std::string> field(std::string_view text, std::string_view name);

}  // namespace tritbench
