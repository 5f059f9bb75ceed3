// Writing files that must survive a kill, a full disk and a power cut.
//
// Every function throws Error (file, reason) when the system refuses.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace tritbench {

std::string read_whole_file(const std::filesystem::path& path);

// All of the text, however many writes it takes. `path` is what an error names.
void write_fully(int fd, std::string_view text, const std::filesystem::path& path);

// What was written is on the disk when it returns.
void sync_to_disk(int fd, const std::filesystem::path& path);

// The same for the entry of a file that was made or renamed in its folder. File systems that
// cannot do it have nothing to lose by it: no error.
void sync_entry(const std::filesystem::path& path);

// Whole or not at all: written beside, under the name with this suffix, synced, renamed. Two
// processes that may write one file at once need suffixes of their own.
void write_atomically(const std::filesystem::path& path, std::string_view text,
                      std::string_view suffix = ".partial");

}  // namespace tritbench
