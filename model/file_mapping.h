// A file as read-only memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace tritbench {

// Maps a regular file of at least one byte. Throws Error (file, problem, `expected`) on anything
// else: missing, unreadable, empty, a directory, a device or a pipe. A file that another process
// shrinks while it is mapped raises SIGBUS on access; nobody can guard against that with mmap.
class FileMapping {
  public:
    explicit FileMapping(const std::string& path, const char* expected = "a GGUF file");
    ~FileMapping();
    FileMapping(const FileMapping&) = delete;
    FileMapping& operator=(const FileMapping&) = delete;

    const std::byte* data() const { return data_; }
    uint64_t size() const { return size_; }

  private:
    std::byte* data_ = nullptr;
    uint64_t size_ = 0;
};

}  // namespace tritbench
