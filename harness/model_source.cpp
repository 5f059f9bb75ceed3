#include "harness/model_source.h"

#include <fmt/format.h>

#include "dummy_models/formats.h"
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
    info.name = file.path().stem().string();
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
    ModelSource source;
    source.config = read_config(file);
    source.info = read_info(file, source.config, load);
    source.load = load;
    source.layout = linear_layout(file, load);
    if (load.window.distinct > 0 || load.window.run > 0) source.mode = ModelMode::LayerWindow;
    return source;
}

namespace {

// What is known of a dummy before it is there.
ModelSource dummy_model(const Preset& preset, const std::string& format) {
    DummyOptions options;
    options.config = preset.config;
    parse_linear_formats(format, options.formats);
    ModelSource source;
    source.dummy = std::make_shared<const DummyOptions>(options);
    source.config = preset.config;
    source.info.name = preset.alias.empty() ? preset.name : preset.alias;
    source.info.preset = source.info.name;
    for (const DummyTensor& tensor : dummy_tensors(preset.config)) {
        uint64_t elements = 1;
        for (const int64_t extent : tensor.ne) elements *= static_cast<uint64_t>(extent);
        source.info.parameters += elements;
        if (tensor.kind == DummyTensor::Kind::Embedding) {
            source.info.head_type = ggml_type_name(tensor.type());
        }
    }
    return source;
}

}  // namespace

ModelSource model_preset(const std::string& preset, const fs::path& folder,
                         const std::string& format) {
    const Preset& found = find_preset(preset);
    ModelSource source = dummy_model(found, format);
    // A list of formats, or their tiles, would make an awkward name.
    std::string suffix = format;
    std::replace_if(
        suffix.begin(), suffix.end(), [](char c) { return c == ',' || c == '=' || c == ':'; }, '-');
    const fs::path path = folder / fmt::format("{}-{}.gguf", source.info.name, suffix);
    if (fs::exists(path)) {
        ModelSource there = model_file(path);
        there.info.preset = source.info.preset;
        return there;
    }
    source.preset = source.info.name;
    source.info.name = path.stem().string();
    source.info.path = path;
    source.info.file_bytes = dummy_file_bytes(*source.dummy);
    for (const DummyTensor& tensor : dummy_tensors(found.config)) {
        if (format != "i2_s") break;  // of others it is not known until the file is there
        source.info.tensor_bytes += ggml_tensor_bytes(tensor.type(), tensor.ne).value_or(0);
    }
    const DummyFormats& formats = source.dummy->formats;
    source.info.type =
        model_type(found.config, source.info.parameters, linear_formats_name(formats));
    if (formats.linear) source.layout = formats.linear->codec->layout;
    return source;
}

ModelSource model_drawn(const std::string& preset, ModelMode mode, const LoadOptions& load) {
    const Preset& found = find_preset(preset);
    ModelSource source = dummy_model(found, "i2_s");
    source.info.type = model_type(found.config, source.info.parameters, "drawn");
    source.mode = mode;
    source.load = load;
    source.layout = "";  // nothing is mapped
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
        ThreadPool pool(static_cast<int>(allowed_cpus().size()), {}, false);
        Progress progress("generating " + path.string(), model.info.file_bytes, "B");
        const auto tick = [&](uint64_t done, uint64_t) {
            progress.update(done);
            return !interrupted();
        };
        if (!generate_dummy(*model.dummy, path, pool, tick)) return false;
        progress.finish();
    }
    return true;
}

}  // namespace tritbench
