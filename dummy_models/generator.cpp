#include "dummy_models/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

#include "dummy_models/metadata.h"
#include "dummy_models/pieces.h"
#include "kernels/api/error.h"
#include "model/convert/tensor_output.h"
#include "model/printable.h"

namespace tritbench {
namespace {

// Of all workers together; what the program itself takes comes on top.
constexpr uint64_t kBufferBytes = uint64_t{128} << 20;

// As far as the mapped kernels of a layout need it.
uint32_t alignment_of(const DummyOptions& options) {
    const DummyFormats& formats = options.formats;
    int32_t alignment = formats.linear ? formats.linear->codec->packed_align : 1;
    for (const auto& [role, format] : formats.roles) {
        alignment = std::max(alignment, format.codec->packed_align);
    }
    return std::max(uint32_t{32}, static_cast<uint32_t>(alignment));
}

void declare(GgufWriter& writer, const DummyOptions& options,
             const std::vector<DummyTensor>& tensors) {
    set_dummy_keys(writer, options);
    for (const DummyTensor& t : tensors) {
        const bool matrix = t.kind != DummyTensor::Kind::Norm;
        const MatrixFormat format = matrix ? format_of(options.formats, t) : MatrixFormat{};
        if (matrix && format.type != t.type()) {
            add_matrix(writer, t.name, format, {t.ne[1], t.ne[0]});
        } else {
            writer.add_tensor(t.name, t.type(), t.ne);
        }
    }
}

// Pieces of tensors, handed out to workers in file order.
class PieceWork {
  public:
    PieceWork(const DummyOptions& options, const std::vector<DummyTensor>& tensors,
              GgufWriter& writer, const GenerateProgress& progress)
        : writer_(writer), progress_(progress), total_(writer.total_bytes()) {
        uint64_t most = 1;
        for (const DummyTensor& t : tensors) {
            tensors_.push_back(tensor_pieces(options, t));
            first_piece_.push_back(pieces_);
            pieces_ += tensors_.back()->count();
            most = std::max(most, tensors_.back()->buffer_bytes());
        }
        workers_ = static_cast<int>(std::clamp<uint64_t>(kBufferBytes / most, 1, 1024));
    }

    void work(int worker) {
        if (worker >= workers_) return;
        try {
            PieceBuffers buffers;
            while (!stopped_) {
                const uint64_t piece = next_++;
                if (piece >= pieces_) return;
                make(piece, buffers);
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
    void make(uint64_t piece, PieceBuffers& buffers) {
        const auto after = std::upper_bound(first_piece_.begin(), first_piece_.end(), piece);
        const auto index = static_cast<size_t>(after - first_piece_.begin()) - 1;
        tensors_[index]->make(piece - first_piece_[index], buffers,
                              [&](uint64_t offset, std::span<const std::byte> bytes) {
                                  writer_.write_at(index, offset, bytes);
                                  done_ += bytes.size();
                              });
    }

    GgufWriter& writer_;
    const GenerateProgress& progress_;
    std::vector<std::unique_ptr<TensorPieces>> tensors_;
    std::vector<uint64_t> first_piece_;
    uint64_t pieces_ = 0, total_ = 0;
    int workers_ = 1;
    std::atomic<uint64_t> next_{0}, done_{0};
    std::atomic<bool> stopped_{false};
    std::mutex mutex_;
    std::exception_ptr error_;
};

void check_vocabulary(const DummyOptions& options) {
    if (options.vocabulary == nullptr) return;
    const int64_t tokens = vocabulary_size(*options.vocabulary);
    if (tokens == options.config.vocab) return;
    throw Error(fmt::format(
        "{}: a vocabulary of {} tokens, but the model is to have {}; --vocab {} "
        "would fit",
        printable(options.vocabulary->path().string(), 300), tokens, options.config.vocab, tokens));
}

}  // namespace

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

void check_dummy(const DummyOptions& options) {
    check_shape(options.config);
    trit_shares(options.zeros, options.positive);
    scale_spread_steps(options.scale_spread);
    check_ffn_zeros(options);
    check_formats(options);
    check_vocabulary(options);
}

std::vector<std::string> dummy_notes(const DummyOptions& options) {
    ScaleRounding rounding;
    for (const DummyTensor& tensor : dummy_tensors(options)) {
        if (tensor.kind != DummyTensor::Kind::Ternary) continue;
        const MatrixFormat format = format_of(options.formats, tensor);
        if (format.codec->weight_kind == TB_WEIGHT_QUANTISED) continue;
        rounding.add(tensor.name, format,
                     dummy_scale(options.seed, tensor.index, tensor.ne[0], options.zeros,
                                 options.scale_spread));
    }
    if (rounding.note().empty()) return {};
    return {rounding.note()};
}

uint64_t dummy_file_bytes(const DummyOptions& options) {
    check_dummy(options);
    GgufWriter writer("unused", alignment_of(options));
    declare(writer, options, dummy_tensors(options));
    return writer.total_bytes();
}

bool generate_dummy(const DummyOptions& options, const std::filesystem::path& path,
                    ThreadPool& pool, const GenerateProgress& progress) {
    check_dummy(options);
    const std::vector<DummyTensor> tensors = dummy_tensors(options);
    GgufWriter writer(path, alignment_of(options));
    declare(writer, options, tensors);
    writer.begin();
    PieceWork work(options, tensors, writer, progress);
    pool.for_each_worker([&work](int worker, int) { work.work(worker); });
    if (!work.complete()) return false;
    writer.finish();
    return true;
}

}  // namespace tritbench
