// Builds GGUF files byte by byte, right or wrong, independently of the project's own writer.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/api/error.h"

// That a message says something: EXPECT_HAS(message, "part of it").
#define EXPECT_HAS(text, part) EXPECT_PRED2(::tritbench::testing::has, text, part)

namespace tritbench::testing {

inline bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// A folder of its own for each test, removed with everything in it.
class TempFolder {
  public:
    TempFolder() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "tritbench-XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }
    ~TempFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
    size_t files() const {
        return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
    }

  private:
    std::filesystem::path path_;
};

class ByteBuilder {
  public:
    template <class T>
    ByteBuilder& add(T value) {
        const auto* at = reinterpret_cast<const char*>(&value);
        bytes_.append(at, sizeof(T));
        return *this;
    }
    ByteBuilder& u8(uint8_t v) { return add(v); }
    ByteBuilder& u32(uint32_t v) { return add(v); }
    ByteBuilder& u64(uint64_t v) { return add(v); }
    ByteBuilder& f32(float v) { return add(v); }
    ByteBuilder& raw(std::string_view text) {
        bytes_ += text;
        return *this;
    }
    ByteBuilder& text(std::string_view text) { return u64(text.size()).raw(text); }
    ByteBuilder& zeros(size_t count) {
        bytes_.append(count, '\0');
        return *this;
    }
    ByteBuilder& align(size_t to) { return zeros((to - bytes_.size() % to) % to); }

    ByteBuilder& header(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
        return raw("GGUF").u32(version).u64(tensors).u64(keys);
    }
    ByteBuilder& key_u32(std::string_view key, uint32_t value) {
        return text(key).u32(4).u32(value);
    }
    ByteBuilder& key_f32(std::string_view key, float value) { return text(key).u32(6).f32(value); }
    ByteBuilder& key_text(std::string_view key, std::string_view value) {
        return text(key).u32(8).text(value);
    }
    ByteBuilder& tensor(std::string_view name, const std::vector<uint64_t>& ne, uint32_t type,
                        uint64_t offset) {
        text(name).u32(static_cast<uint32_t>(ne.size()));
        for (uint64_t extent : ne) u64(extent);
        return u32(type).u64(offset);
    }

    const std::string& bytes() const { return bytes_; }
    void save(const std::filesystem::path& path) const {
        std::ofstream(path, std::ios::binary) << bytes_;
    }

  private:
    std::string bytes_;
};

inline std::string read_bytes(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

// The message of the Error that `body` throws, which must be one line; "" if it throws none.
template <class Body>
std::string error_of(Body&& body) {
    try {
        body();
    } catch (const Error& e) {
        EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
        return e.what();
    }
    return "";
}

}  // namespace tritbench::testing
