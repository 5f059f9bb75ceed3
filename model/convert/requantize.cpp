#include "model/convert/requantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "kernels/api/error.h"
#include "model/gguf_format.h"
#include "model/linear_shapes.h"
#include "model/printable.h"
#include "model/ternary_matrix.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTensorKeys = "tritbench.tensor.";

std::string where(const GgufFile& file) {
    return printable(file.path().string(), 300);
}

// blk.N.<role>.weight
bool is_linear(std::string_view name) {
    constexpr std::string_view end = ".weight";
    if (!name.starts_with("blk.") || !name.ends_with(end)) return false;
    name.remove_prefix(4);
    name.remove_suffix(end.size());
    const size_t dot = name.find('.');
    return dot != std::string_view::npos && dot > 0 &&
           name.find_first_not_of("0123456789") == dot && is_linear_role(name.substr(dot + 1));
}

class Requantizer {
  public:
    Requantizer(const GgufFile& source, const RequantizeOptions& options)
        : source_(source), options_(options) {
        for (const GgufTensor& tensor : source.tensors()) outputs_.push_back(output_of(tensor));
        if (options.outer.head && source.find_tensor("output.weight") == nullptr) {
            const GgufTensor& embedding = require("token_embd.weight");
            outputs_.push_back(matrix(embedding, *options.outer.head, "output.weight"));
        }
    }

    bool write(const fs::path& output, ThreadPool& pool, const ConvertProgress& progress) {
        const uint64_t alignment = source_alignment();
        const int32_t wanted = options_.linear ? options_.linear->codec->packed_align : 1;
        GgufWriter writer(
            output, std::max(static_cast<uint32_t>(alignment), static_cast<uint32_t>(wanted)));
        copy_keys(writer, writer_sets_alignment(alignment, wanted));
        return write_tensors(writer, pool, outputs_, progress);
    }

    std::string note() const { return rounding_.note(); }
    uint64_t parameters() const { return parameters_; }

  private:
    const GgufTensor& require(std::string_view name) const {
        const GgufTensor* tensor = source_.find_tensor(name);
        if (tensor) return *tensor;
        throw Error(fmt::format("{}: tensor '{}' is missing", where(source_), name));
    }

    TensorOutput output_of(const GgufTensor& tensor) {
        parameters_ += weights_of(tensor);
        if (is_linear(tensor.name) && options_.linear) return linear(tensor);
        if (tensor.name == "token_embd.weight" && options_.outer.embedding) {
            return matrix(tensor, *options_.outer.embedding, tensor.name);
        }
        if (tensor.name == "output.weight" && options_.outer.head) {
            return matrix(tensor, *options_.outer.head, tensor.name);
        }
        return copy(tensor);
    }

    // A layout that GGUF has no type for is stored as bytes; its keys know the matrix.
    uint64_t weights_of(const GgufTensor& tensor) const {
        const std::string keys = fmt::format("{}{}.", kTensorKeys, tensor.name);
        if (source_.find(keys + "layout") == nullptr) {
            return static_cast<uint64_t>(tensor.elements());
        }
        return static_cast<uint64_t>(source_.integer(keys + "n") * source_.integer(keys + "k"));
    }

    // The keys of a stored format are copied with all others.
    TensorOutput copy(const GgufTensor& tensor) const {
        if (tensor.data == nullptr) {
            throw Error(
                fmt::format("{}: tensor '{}': {} of {} cannot be copied, as its size is not "
                            "known",
                            where(source_), printable(tensor.name), ggml_type_name(tensor.type),
                            extents_text(tensor.ne)));
        }
        return {tensor.bytes,
                [&tensor](GgufWriter& w) { w.add_tensor(tensor.name, tensor.type, tensor.ne); },
                [&tensor](GgufWriter& w, ThreadPool&) {
                    w.write({tensor.data, tensor.bytes});
                }};
    }

    TensorOutput matrix(const GgufTensor& tensor, const MatrixFormat& format,
                        const std::string& name) {
        if (name == tensor.name) rewritten_.push_back(name);
        const StoredMatrix stored(source_, tensor, options_.source);
        const tb_shape shape = stored.shape();
        return {static_cast<uint64_t>(shape.n * shape.k),
                [name, format, shape](GgufWriter& w) { add_matrix(w, name, format, shape); },
                [stored, format, shape](GgufWriter& w, ThreadPool& pool) {
                    const RowProvider rows = [&stored](int64_t begin, int64_t end, int8_t*,
                                                       float* values, float* scales) {
                        scales[0] = 1.0F;
                        stored.values(begin, end, values);
                    };
                    w.write(encode_tensor(pool, format, shape, rows).bytes);
                }};
    }

    TensorOutput linear(const GgufTensor& tensor) {
        rewritten_.push_back(tensor.name);
        const StoredMatrix stored(source_, tensor, options_.source);
        const tb_shape shape = stored.shape();
        const MatrixFormat format = fit_tile(*options_.linear, shape);
        return {
            static_cast<uint64_t>(shape.n * shape.k),
            [&tensor, format, shape](GgufWriter& w) { add_matrix(w, tensor.name, format, shape); },
            [this, &tensor, stored, format, shape](GgufWriter& w, ThreadPool& pool) {
                const TernaryMatrix matrix(pool, stored);
                if (matrix.one_scale()) rounding_.add(tensor.name, format, matrix.scale());
                const RowProvider rows = matrix.rows_for(*format.codec);
                w.write(encode_tensor(pool, format, shape, rows).bytes);
            }};
    }

    uint64_t source_alignment() const {
        const GgufValue* value = source_.find("general.alignment");
        const auto* found = value ? std::get_if<uint64_t>(value) : nullptr;  // checked when opened
        return found ? *found : kGgufDefaultAlignment;
    }
    static bool writer_sets_alignment(uint64_t alignment, int32_t wanted) {
        return std::max<uint64_t>(alignment, static_cast<uint64_t>(wanted)) !=
               kGgufDefaultAlignment;
    }

    // Whether the key says how a tensor is stored that is stored otherwise now.
    bool outdated(std::string_view key) const {
        if (!key.starts_with(kTensorKeys)) return false;
        const std::string_view rest = key.substr(kTensorKeys.size());
        const std::string_view tensor = rest.substr(0, rest.rfind('.'));
        return std::find(rewritten_.begin(), rewritten_.end(), tensor) != rewritten_.end();
    }

    void copy_keys(GgufWriter& writer, bool alignment_is_set) const {
        constexpr const char* file_type = "general.file_type";
        for (const auto& [key, value] : source_.metadata()) {
            if (outdated(key) || (key == "general.alignment" && alignment_is_set) ||
                (key == file_type && options_.linear)) {
                continue;
            }
            writer.set_stored(key, source_.stored_value(key));
        }
        if (!options_.linear) return;
        const int64_t type = file_type_of(*options_.linear);
        if (type >= 0) writer.set_u32(file_type, static_cast<uint32_t>(type));
    }

    const GgufFile& source_;
    const RequantizeOptions& options_;
    std::vector<TensorOutput> outputs_;
    std::vector<std::string> rewritten_;
    ScaleRounding rounding_;
    uint64_t parameters_ = 0;
};

}  // namespace

void refuse_same_file(const GgufFile& source, const fs::path& output) {
    std::error_code ignored;
    if (fs::equivalent(source.path(), output, ignored)) {
        throw Error(fmt::format("{}: is the file to read; expected another name to write to",
                                where(source)));
    }
}

ConvertResult requantize(const GgufFile& source, const fs::path& output,
                         const RequantizeOptions& options, ThreadPool& pool,
                         const ConvertProgress& progress) {
    refuse_same_file(source, output);
    if (options.linear) require_linear_format(*options.linear);
    if (options.outer.embedding) {
        require_matrix_format(*options.outer.embedding, "--embedding-type");
    }
    if (options.outer.head) require_matrix_format(*options.outer.head, "--head-type");
    Requantizer work(source, options);
    ConvertResult result;
    result.complete = work.write(output, pool, progress);
    result.parameters = work.parameters();
    if (!work.note().empty()) result.notes.push_back(work.note());
    return result;
}

}  // namespace tritbench
