#include "harness/model_source.h"

#include <fmt/format.h>

#include "dummy_models/generator.h"
#include "dummy_models/presets.h"
#include "harness/environment.h"
#include "harness/progress.h"
#include "kernels/api/error.h"
#include "model/gguf.h"
#include "model/tensor_types.h"
#include "model/thread_pool.h"
#include "model/transformer.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

std::string parameters_text(uint64_t count) {
    const auto n = static_cast<double>(count);
    return count < 1'000'000'000 ? fmt::format("{:.0f}M", n / 1e6)
                                 : fmt::format("{:.2f}B", n / 1e9);
}

std::string model_type(const ModelConfig& config, uint64_t parameters, const std::string& type) {
    return fmt::format("{} {} {}", config.architecture, parameters_text(parameters), type);
}

// What the header of a file says that Model::check found right.
ModelInfo read_info(const GgufFile& file, const ModelConfig& config, const LoadOptions& load) {
    ModelInfo info;
    info.path = file.path();
    info.file_bytes = file.file_bytes();
    for (const GgufTensor& tensor : file.tensors()) {
        info.parameters += static_cast<uint64_t>(tensor.elements());
        info.tensor_bytes += tensor.bytes;
    }
    const GgufTensor* linear = file.find_tensor("blk.0.ffn_down.weight");
    const GgufTensor* head = file.find_tensor("output.weight");
    if (head == nullptr) head = file.find_tensor("token_embd.weight");
    info.type = model_type(config, info.parameters,
                           format_name(StoredMatrix(file, *linear, load).format()));
    info.head_type = StoredMatrix(file, *head, load).format().codec->layout;
    return info;
}

}  // namespace

ModelSource model_file(const fs::path& path, const LoadOptions& load) {
    const GgufFile file(path);
    // A file that may not stay in the page cache is not read twice: loading finds its bad codes.
    const bool stays = file.file_bytes() < available_memory_bytes() / 2;
    ThreadPool pool(static_cast<int>(allowed_cpus().size()), {}, false);
    Model::check(file, stays ? &pool : nullptr, load);
    const ModelConfig config = read_config(file);
    return {read_info(file, config, load), "", config, load, linear_layout(file, load)};
}

ModelSource model_preset(const std::string& preset, const fs::path& folder) {
    const Preset& found = find_preset(preset);
    const std::string& name = found.alias.empty() ? found.name : found.alias;
    const fs::path path = folder / fmt::format("{}-i2_s.gguf", name);
    if (fs::exists(path)) return model_file(path);
    DummyOptions options;
    options.config = found.config;
    ModelSource source;
    source.preset = name;
    source.config = found.config;
    source.info.path = path;
    source.info.file_bytes = dummy_file_bytes(options);
    for (const DummyTensor& tensor : dummy_tensors(found.config)) {
        const auto bytes = ggml_tensor_bytes(tensor.type(), tensor.ne);
        source.info.tensor_bytes += bytes.value_or(0);
        uint64_t elements = 1;
        for (const int64_t extent : tensor.ne) elements *= static_cast<uint64_t>(extent);
        source.info.parameters += elements;
        if (tensor.kind == DummyTensor::Kind::Embedding) {
            source.info.head_type = ggml_type_name(tensor.type());
        }
    }
    source.info.type = model_type(found.config, source.info.parameters, "i2_s");
    return source;
}

bool generate_missing(const std::vector<ModelSource>& models) {
    for (const ModelSource& model : models) {
        const fs::path& path = model.info.path;
        if (model.preset.empty() || fs::exists(path)) continue;
        std::error_code problem;
        fs::create_directories(path.parent_path(), problem);
        if (problem) {
            throw Error(fmt::format("{}: cannot be made a folder for models: {}",
                                    path.parent_path().string(), problem.message()));
        }
        DummyOptions options;
        options.config = model.config;
        ThreadPool pool(static_cast<int>(allowed_cpus().size()), {}, false);
        Progress progress("generating " + path.string(), model.info.file_bytes, "B");
        const auto tick = [&](uint64_t done, uint64_t) {
            progress.update(done);
            return !interrupted();
        };
        if (!generate_dummy(options, path, pool, tick)) return false;
        progress.finish();
    }
    return true;
}

}  // namespace tritbench
