// GGUF version 3 (and 2) files: read by mmap, written as a stream.
//
// Source of the format: ggml-org/ggml docs/gguf.md; type ids of I2_S, TL1, TL2 from bitnet.cpp's
// llama.cpp fork (ids 36, 38, 39; upstream uses 39..42 for other types), of IQ1_BN, IQ2_BN and
// IQ2_BN_R4 from ik_llama.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tritbench {

enum class GgmlType : uint32_t {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q8_0 = 8,
    Q6_K = 14,
    I8 = 24,
    I16 = 25,
    I32 = 26,
    I64 = 27,
    F64 = 28,
    BF16 = 30,
    TQ1_0 = 34,
    TQ2_0 = 35,
    I2_S = 36,
    TL1 = 38,
    TL2 = 39,
    IQ1_BN = 134,
    IQ2_BN = 135,
    IQ2_BN_R4 = 335
};

// "i2_s", "f16", ...; "type 99" for an unknown id.
std::string ggml_type_name(GgmlType type);

// Bytes of a tensor of this type and these extents (ne[0] is the row length), computed from type
// and extents only. Empty for an unknown type, an extent that the type cannot hold, or overflow.
// I2_S and TL1: elements / 4 + 32 (one float32 scale, 28 bytes of padding); I2_S needs elements %
// 128 == 0, TL1 whole bytes. TL2: what bitnet.cpp computes, whatever its tile is (kernels/tl2).
std::optional<uint64_t> ggml_tensor_bytes(GgmlType type, std::span<const int64_t> ne);

// "2560 x 6912", ne[0] first.
std::string extents_text(std::span<const int64_t> ne);

using GgufScalar = std::variant<uint64_t, int64_t, double, bool, std::string>;

// An array stays in the mapping until asked for: decoded elements take up to 40 times the bytes
// that a hostile file spends on them. Valid as long as the GgufFile.
struct GgufArray {
    uint32_t element_type = 0;  // GGUF value type id
    uint64_t count = 0;
    std::span<const std::byte> bytes;  // the elements as stored, checked when the file was opened

    std::vector<GgufScalar> values(uint64_t at_most = UINT64_MAX) const;
};
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray>;

struct GgufTensor {
    std::string name;
    GgmlType type = GgmlType::F32;
    std::vector<int64_t> ne;          // ne[0] = K (row length), ne[1] = N (rows)
    uint64_t file_offset = 0;         // from the start of the file
    uint64_t bytes = 0;               // 0 when the size cannot be computed (unknown type)
    const std::byte* data = nullptr;  // inside the mapping; null when the size is unknown

    int64_t elements() const;
};

// A mapped GGUF file. Every length, count, offset, alignment and type is checked before use;
// anything wrong throws Error naming the file, the field and what was expected.
class GgufFile {
  public:
    explicit GgufFile(const std::filesystem::path& path);
    ~GgufFile();
    GgufFile(GgufFile&&) noexcept;
    GgufFile& operator=(GgufFile&&) noexcept;

    const std::filesystem::path& path() const;
    uint64_t file_bytes() const;
    uint32_t version() const;
    const std::vector<std::pair<std::string, GgufValue>>& metadata() const;
    const std::vector<GgufTensor>& tensors() const;

    const GgufValue* find(std::string_view key) const;
    // A key's value type id (uint32) and value exactly as they lie in the file, for
    // GgufWriter::set_stored; empty when the key is absent. Valid as long as the GgufFile.
    std::span<const std::byte> stored_value(std::string_view key) const;
    const GgufTensor* find_tensor(std::string_view name) const;

    // Typed look-ups. The first form throws Error naming file and key when it is absent or of
    // another kind; the second returns the fallback when absent (and still throws on a wrong kind).
    // Integers are range checked: [0, 2^31) unless stated by the caller.
    int64_t integer(std::string_view key) const;
    int64_t integer(std::string_view key, int64_t fallback) const;
    double number(std::string_view key) const;
    double number(std::string_view key, double fallback) const;
    std::string text(std::string_view key) const;
    std::string text(std::string_view key, std::string_view fallback) const;
    bool boolean(std::string_view key, bool fallback) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// Writes a GGUF v3 file: declare keys and tensors, then stream the tensor bytes in order.
// Data goes to "<path>.partial-<pid>" and is renamed when finish() succeeds; a writer that is
// destroyed before finish() removes its partial file. Refuses before writing if the disk is too
// small, naming need and have. I/O errors throw Error.
class GgufWriter {
  public:
    explicit GgufWriter(std::filesystem::path path, uint32_t alignment = 32);
    ~GgufWriter();
    GgufWriter(const GgufWriter&) = delete;
    GgufWriter& operator=(const GgufWriter&) = delete;

    void set_u32(std::string_view key, uint32_t value);
    void set_u64(std::string_view key, uint64_t value);
    void set_f32(std::string_view key, float value);
    void set_bool(std::string_view key, bool value);
    void set_text(std::string_view key, std::string_view value);
    void set_texts(std::string_view key, const std::vector<std::string>& values);
    void set_i32s(std::string_view key, std::span<const int32_t> values);
    void set_f32s(std::string_view key, std::span<const float> values);
    // A value type id and a value as GgufFile::stored_value gave them.
    void set_stored(std::string_view key, std::span<const std::byte> type_and_value);
    void add_tensor(std::string_view name, GgmlType type, std::vector<int64_t> ne);

    // Total size of the file as declared so far.
    uint64_t total_bytes() const;

    // Writes header and tensor table. After this, keys and tensors are fixed.
    void begin();
    // Appends data of the current tensor; moves on to the next when it is full.
    void write(std::span<const std::byte> data);
    // Writes a piece of a tensor, in any order. Several threads may call it at once. Each byte
    // must be written exactly once, by either form.
    void write_at(size_t tensor, uint64_t offset, std::span<const std::byte> data);
    // Checks that every tensor is complete, and renames into place.
    void finish();

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tritbench
