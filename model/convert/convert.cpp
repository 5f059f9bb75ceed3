#include "model/convert/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>

#include "kernels/api/error.h"
#include "model/convert/hf_rows.h"
#include "model/convert/hf_tensors.h"
#include "model/convert/hf_tokenizer.h"
#include "model/convert/safetensors.h"
#include "model/printable.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

// The divisors of the frequencies, one for each pair of features: 1 for fast ones, `factor` for
// slow ones, between them a blend of the frequencies.
// (transformers modeling_rope_utils.py, _compute_llama3_parameters)
std::vector<float> rope_divisors(const ModelConfig& config, const Llama3Rope& rope) {
    std::vector<float> divisors;
    const auto context = static_cast<double>(rope.original_context);
    const double slowest = context / rope.low_freq_factor,
                 fastest = context / rope.high_freq_factor;
    for (int64_t i = 0; i < config.head_dim; i += 2) {
        const double exponent = static_cast<double>(i) / static_cast<double>(config.head_dim);
        const double wavelength = 2 * std::numbers::pi * std::pow(config.rope_base, exponent);
        double divisor = 1;
        if (wavelength > slowest) {
            divisor = rope.factor;
        } else if (wavelength >= fastest) {
            const double smooth = (context / wavelength - rope.low_freq_factor) /
                                  (rope.high_freq_factor - rope.low_freq_factor);
            divisor = 1 / ((1 - smooth) / rope.factor + smooth);
        }
        divisors.push_back(static_cast<float>(divisor));
    }
    return divisors;
}

TensorOutput vector_output(const std::string& name, std::vector<float> values) {
    const auto size = static_cast<int64_t>(values.size());
    return {static_cast<uint64_t>(size),
            [name, size](GgufWriter& writer) { writer.add_tensor(name, GgmlType::F32, {size}); },
            [values = std::move(values)](GgufWriter& writer, ThreadPool&) {
                writer.write(std::as_bytes(std::span(values)));
            }};
}

TensorOutput norm_output(const HfTensor& tensor) {
    return {static_cast<uint64_t>(tensor.columns),
            [&tensor](GgufWriter& writer) {
                writer.add_tensor(tensor.name, GgmlType::F32, {tensor.columns});
            },
            [&tensor](GgufWriter& writer, ThreadPool&) {
                std::vector<float> values(static_cast<size_t>(tensor.columns));
                read_floats(*tensor.source, 0, values);
                writer.write(std::as_bytes(std::span(values)));
            }};
}

TensorOutput matrix_output(const HfTensor& tensor, const MatrixFormat& format,
                           const std::string& name) {
    const tb_shape shape{tensor.rows, tensor.columns};
    return {static_cast<uint64_t>(shape.n * shape.k),
            [name, format, shape](GgufWriter& writer) { add_matrix(writer, name, format, shape); },
            [&tensor, format, shape](GgufWriter& writer, ThreadPool& pool) {
                writer.write(encode_tensor(pool, format, shape, float_rows(tensor)).bytes);
            }};
}

TensorOutput linear_output(const HfTensor& tensor, const MatrixFormat& wanted, WeightScale way,
                           ScaleRounding& rounding) {
    const tb_shape shape{tensor.rows, tensor.columns};
    const MatrixFormat format = fit_tile(wanted, shape);
    return {static_cast<uint64_t>(shape.n * shape.k),
            [&tensor, format, shape](GgufWriter& writer) {
                add_matrix(writer, tensor.name, format, shape);
            },
            [&tensor, &rounding, format, shape, way](GgufWriter& writer, ThreadPool& pool) {
                const HfLinear linear(pool, tensor, way);
                rounding.add(tensor.name, format, linear.scale());
                writer.write(encode_tensor(pool, format, shape, linear.rows()).bytes);
            }};
}

std::string folder_name(const fs::path& folder) {
    std::error_code ignored;
    const fs::path whole = fs::weakly_canonical(folder, ignored);
    const std::string name = (whole.empty() ? folder : whole).filename().string();
    return name.empty() ? "model" : printable(name);
}

}  // namespace

ConvertResult convert_folder(const fs::path& folder, const fs::path& output,
                             const ConvertOptions& options, ThreadPool& pool,
                             const ConvertProgress& progress) {
    HfConfig config = read_hf_config(folder / "config.json");
    const SafetensorsFolder files(folder);
    const std::vector<HfTensor> tensors = plan_hf_tensors(config, files);
    ConvertResult result;
    std::string note;
    const WeightScale way = choose_weight_scale(config, tensors, options.weight_scale, &note);
    if (!note.empty()) result.notes.push_back(note);

    require_linear_format(options.linear);
    const MatrixFormat embedding = options.outer.embedding.value_or(parse_format("f16"));
    const MatrixFormat head = options.outer.head.value_or(embedding);
    require_matrix_format(embedding, "--embedding-type");
    require_matrix_format(head, "--head-type");

    ScaleRounding rounding;
    std::vector<TensorOutput> outputs;
    for (const HfTensor& tensor : tensors) {
        switch (tensor.role) {
            case HfTensor::Role::Norm:
                outputs.push_back(norm_output(tensor));
                break;
            case HfTensor::Role::Linear:
                outputs.push_back(linear_output(tensor, options.linear, way, rounding));
                break;
            case HfTensor::Role::Embedding:
                outputs.push_back(matrix_output(tensor, embedding, tensor.name));
                if (config.model.tied_head && options.outer.head) {
                    outputs.push_back(matrix_output(tensor, head, "output.weight"));
                }
                break;
            case HfTensor::Role::Head:
                outputs.push_back(matrix_output(tensor, head, tensor.name));
                break;
        }
        result.parameters += static_cast<uint64_t>(tensor.rows * tensor.columns);
    }
    if (config.llama3_rope) {
        outputs.push_back(
            vector_output("rope_freqs.weight", rope_divisors(config.model, *config.llama3_rope)));
    }

    const auto alignment = static_cast<uint32_t>(std::max(options.linear.codec->packed_align, 32));
    GgufWriter writer(output, alignment);
    config.model.name = folder_name(folder);
    write_config(writer, config.model, file_type_of(options.linear));
    if (!config.ffn_down_zeros.empty()) {
        writer.set_f32s("tritbench.ffn_down_zeros", config.ffn_down_zeros);
    }
    if (options.tokenizer) {
        set_tokenizer_keys(
            writer, read_hf_tokenizer(folder, config.model.vocab, options.pre, &result.notes));
    } else {
        writer.set_text("tokenizer.ggml.model", "no_vocab");
    }
    result.complete = write_tensors(writer, pool, outputs, progress);
    if (!rounding.note().empty()) result.notes.push_back(rounding.note());
    return result;
}

}  // namespace tritbench
