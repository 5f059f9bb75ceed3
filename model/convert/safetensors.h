// Safetensors files (Hugging Face's format for tensors), read by mmap.
//
// A file is: uint64 length of the header, the header (JSON: name -> {dtype, shape, data_offsets},
// and "__metadata__"), the bytes of the tensors without gaps. All numbers are little-endian, all
// tensors row-major. Source: huggingface/safetensors, README.md and src/tensor.rs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tritbench {

enum class TensorDtype { F64, F32, F16, BF16, I64, I32, I16, I8, U8, Bool };

// "F32", "BF16", ...: as the format writes it.
std::string_view dtype_name(TensorDtype dtype);

struct SafetensorsTensor {
    std::string name;
    TensorDtype dtype = TensorDtype::F32;
    std::vector<int64_t> shape;       // outermost first; empty for a scalar
    const std::byte* data = nullptr;  // inside the mapping; aligned to nothing
    uint64_t bytes = 0;
    const std::filesystem::path* file = nullptr;  // that holds it, for messages

    int64_t elements() const;
};

// "file.safetensors: tensor 'name'", fit for a message.
std::string describe(const SafetensorsTensor& tensor);

// A mapped file. The header is checked against the file before anything is believed: its length,
// every dtype, every shape against the bytes it has, and that tensors follow each other without
// overlap or gap. Throws Error naming file and tensor. Memory: about that of the header.
class SafetensorsFile {
  public:
    explicit SafetensorsFile(const std::filesystem::path& path);
    ~SafetensorsFile();
    SafetensorsFile(SafetensorsFile&&) noexcept;
    SafetensorsFile& operator=(SafetensorsFile&&) noexcept;

    const std::filesystem::path& path() const;
    const std::vector<SafetensorsTensor>& tensors() const;  // in the order of their bytes

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The tensors of a model folder: model.safetensors, or the shards that
// model.safetensors.index.json names, or else all *.safetensors files. Throws Error if there are
// none, if the index names a file outside of the folder or a tensor that its file lacks, or if two
// files hold the same tensor.
class SafetensorsFolder {
  public:
    explicit SafetensorsFolder(const std::filesystem::path& folder);

    const SafetensorsTensor* find(std::string_view name) const;
    const std::vector<const SafetensorsTensor*>& tensors() const { return tensors_; }
    const std::filesystem::path& folder() const { return folder_; }

  private:
    void open_index(const std::filesystem::path& index);
    void add(const std::filesystem::path& file);

    std::filesystem::path folder_;
    std::vector<SafetensorsFile> files_;
    std::vector<const SafetensorsTensor*> tensors_;
    std::unordered_map<std::string_view, const SafetensorsTensor*> by_name_;
};

}  // namespace tritbench
