#include "dummy_models/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <numeric>
#include <tuple>

#include "kernels/api/error.h"

namespace tritbench {
namespace {

constexpr uint64_t kChunkBytes = uint64_t{1} << 20;
constexpr uint64_t kI2sTail = 32;  // the scale and its padding

GgmlType type_of(DummyTensor::Kind kind) {
    switch (kind) {
        case DummyTensor::Kind::Norm:
            return GgmlType::F32;
        case DummyTensor::Kind::Embedding:
            return GgmlType::F16;
        case DummyTensor::Kind::Ternary:
            break;
    }
    return GgmlType::I2_S;
}

void set_keys(GgufWriter& writer, const DummyOptions& options) {
    const ModelConfig& c = options.config;
    write_config(writer, c, 40);  // mostly I2_S, in bitnet.cpp's numbering
    // llama.cpp loads a model without a tokenizer when it is named so.
    writer.set_text("tokenizer.ggml.model", "no_vocab");
    const bool llama3 = c.vocab == 128256;
    const auto last = static_cast<uint32_t>(c.vocab - 1);
    writer.set_u32("tokenizer.ggml.bos_token_id", llama3 ? 128000U : std::min(1U, last));
    writer.set_u32("tokenizer.ggml.eos_token_id", llama3 ? 128001U : std::min(2U, last));
    writer.set_u64("tritbench.dummy.seed", options.seed);
    writer.set_f32("tritbench.dummy.zero_fraction",
                   static_cast<float>(zero_threshold(options.zeros)) / 65536.0F);
    writer.set_u32("tritbench.dummy.version", kDummyVersion);
    if (!options.ffn_zeros) return;
    const auto zeros = static_cast<float>(*options.ffn_zeros);
    writer.set_f32("tritbench.dummy.ffn_zeros", zeros);
    writer.set_f32s("tritbench.ffn_down_zeros",
                    std::vector<float>(static_cast<size_t>(c.layers), zeros));
}

void declare(GgufWriter& writer, const DummyOptions& options,
             const std::vector<DummyTensor>& tensors) {
    set_keys(writer, options);
    for (const DummyTensor& t : tensors) writer.add_tensor(t.name, t.type(), t.ne);
}

uint64_t tensor_bytes(const DummyTensor& tensor) {
    return ggml_tensor_bytes(tensor.type(), tensor.ne).value();  // the writer has accepted it
}

constexpr std::byte kZeroCodes{0x55};

// Silences rows of a gate: `codes` are bytes from `begin` on, of rows of whole bytes.
void silence(const DummyOptions& options, const DummyTensor& tensor, uint64_t begin,
             std::span<std::byte> codes) {
    const double share = silent_share(*options.ffn_zeros, options.config.ffn);
    const auto row_bytes = static_cast<uint64_t>(tensor.ne[0]) / 4;
    for (uint64_t at = 0; at < codes.size();) {
        const uint64_t row = (begin + at) / row_bytes;
        const uint64_t end = std::min<uint64_t>((row + 1) * row_bytes - begin, codes.size());
        if (dummy_silent(options.seed, tensor.index, row, share)) {
            std::fill(codes.begin() + static_cast<ptrdiff_t>(at),
                      codes.begin() + static_cast<ptrdiff_t>(end), kZeroCodes);
        }
        at = end;
    }
}

// Bytes [begin, begin + out.size()) of a tensor.
void fill(const DummyOptions& options, const DummyTensor& tensor, uint64_t begin,
          std::span<std::byte> out) {
    switch (tensor.kind) {
        case DummyTensor::Kind::Norm:
            dummy_norm(options.seed, tensor.index, begin / sizeof(float),
                       {reinterpret_cast<float*>(out.data()), out.size() / sizeof(float)});
            return;
        case DummyTensor::Kind::Embedding:
            dummy_f16(options.seed, tensor.index, begin / sizeof(uint16_t),
                      {reinterpret_cast<uint16_t*>(out.data()), out.size() / sizeof(uint16_t)});
            return;
        case DummyTensor::Kind::Ternary:
            break;
    }
    const uint64_t packed = tensor_bytes(tensor) - kI2sTail;
    const uint64_t codes = std::min<uint64_t>(out.size(), packed - std::min(packed, begin));
    dummy_i2s(options.seed, tensor.index, options.zeros, begin, out.first(codes));
    if (options.ffn_zeros && tensor.name.ends_with(".ffn_gate.weight")) {
        silence(options, tensor, begin, out.first(codes));
    }
    if (codes == out.size()) return;
    // Chunks are multiples of 32 bytes, so the tail is never cut in two.
    const float scale = dummy_scale(options.seed, tensor.index, tensor.ne[0], options.zeros);
    std::fill(out.begin() + static_cast<ptrdiff_t>(codes), out.end(), std::byte{0});
    std::copy_n(reinterpret_cast<const std::byte*>(&scale), sizeof(scale), &out[codes]);
}

// Chunks of tensors, handed out to workers in file order.
class ChunkedWork {
  public:
    ChunkedWork(const DummyOptions& options, const std::vector<DummyTensor>& tensors,
                GgufWriter& writer, const GenerateProgress& progress)
        : options_(options), tensors_(tensors), writer_(writer), progress_(progress) {
        for (const DummyTensor& t : tensors) {
            first_chunk_.push_back(chunks_);
            chunks_ += (tensor_bytes(t) + kChunkBytes - 1) / kChunkBytes;
            total_ += tensor_bytes(t);
        }
    }

    void work(int worker) {
        try {
            std::vector<std::byte> buffer(kChunkBytes);
            while (!stopped_) {
                const uint64_t chunk = next_++;
                if (chunk >= chunks_) return;
                done_ += make(chunk, buffer);
                if (worker == 0 && progress_ && !progress_(done_, total_)) stopped_ = true;
            }
        } catch (...) {
            const std::lock_guard lock(mutex_);
            if (!error_) error_ = std::current_exception();
            stopped_ = true;
        }
    }

    // True when everything was written; rethrows what went wrong in a worker.
    bool complete() {
        if (error_) std::rethrow_exception(error_);
        if (!stopped_ && progress_ && !progress_(total_, total_)) stopped_ = true;
        return !stopped_;
    }

  private:
    uint64_t make(uint64_t chunk, std::vector<std::byte>& buffer) {
        const auto after = std::upper_bound(first_chunk_.begin(), first_chunk_.end(), chunk);
        const auto index = static_cast<size_t>(after - first_chunk_.begin()) - 1;
        const uint64_t begin = (chunk - first_chunk_[index]) * kChunkBytes;
        const uint64_t size = std::min(kChunkBytes, tensor_bytes(tensors_[index]) - begin);
        const std::span<std::byte> out(buffer.data(), size);
        fill(options_, tensors_[index], begin, out);
        writer_.write_at(index, begin, out);
        return size;
    }

    const DummyOptions& options_;
    const std::vector<DummyTensor>& tensors_;
    GgufWriter& writer_;
    const GenerateProgress& progress_;
    std::vector<uint64_t> first_chunk_;
    uint64_t chunks_ = 0, total_ = 0;
    std::atomic<uint64_t> next_{0}, done_{0};
    std::atomic<bool> stopped_{false};
    std::mutex mutex_;
    std::exception_ptr error_;
};

}  // namespace

GgmlType DummyTensor::type() const {
    return type_of(kind);
}

void check_ffn_zeros(const DummyOptions& options) {
    if (!options.ffn_zeros) return;
    const ModelConfig& c = options.config;
    if (c.activation != Activation::Relu2) {
        throw Error("ffn zeros: only models with squared ReLU have them (not --arch llama)");
    }
    if (c.hidden % 128 != 0) {
        throw Error(
            fmt::format("ffn zeros: needs a hidden size in multiples of 128, not {}", c.hidden));
    }
    silent_share(*options.ffn_zeros, c.ffn);
}

std::vector<DummyTensor> dummy_tensors(const ModelConfig& c) {
    using Kind = DummyTensor::Kind;
    std::vector<DummyTensor> out;
    out.push_back({"token_embd.weight", Kind::Embedding, 0, {c.hidden, c.vocab}});
    out.push_back({"output_norm.weight", Kind::Norm, 1, {c.hidden}});
    if (!c.tied_head) out.push_back({"output.weight", Kind::Embedding, 2, {c.hidden, c.vocab}});
    constexpr uint64_t first = 16, per_layer = 16;
    const auto linears = linear_shapes(c);
    const std::vector<std::tuple<const char*, int64_t, bool>> norms = {
        {"attn_norm", c.hidden, true},
        {"attn_sub_norm", c.heads * c.head_dim, c.sub_norms},
        {"ffn_norm", c.hidden, true},
        {"ffn_sub_norm", c.ffn, c.sub_norms}};
    for (int64_t layer = 0; layer < c.layers; ++layer) {
        uint64_t index = first + static_cast<uint64_t>(layer) * per_layer;
        for (const auto& [role, extent, there] : norms) {
            const uint64_t number = index++;
            if (!there) continue;
            out.push_back(
                {fmt::format("blk.{}.{}.weight", layer, role), Kind::Norm, number, {extent}});
        }
        for (const LinearShape& s : linears) {
            out.push_back({fmt::format("blk.{}.{}.weight", layer, s.role),
                           Kind::Ternary,
                           index++,
                           {s.k, s.n}});
        }
    }
    return out;
}

uint64_t dummy_file_bytes(const DummyOptions& options) {
    check_shape(options.config);
    GgufWriter writer("unused");
    declare(writer, options, dummy_tensors(options.config));
    return writer.total_bytes();
}

bool generate_dummy(const DummyOptions& options, const std::filesystem::path& path,
                    ThreadPool& pool, const GenerateProgress& progress) {
    check_shape(options.config);
    check_ffn_zeros(options);
    const std::vector<DummyTensor> tensors = dummy_tensors(options.config);
    GgufWriter writer(path);
    declare(writer, options, tensors);
    writer.begin();
    ChunkedWork work(options, tensors, writer, progress);
    pool.for_each_worker([&work](int worker, int) { work.work(worker); });
    if (!work.complete()) return false;
    writer.finish();
    return true;
}

}  // namespace tritbench
