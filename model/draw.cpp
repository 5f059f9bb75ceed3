// Model::draw: every tensor packed from a WeightSource.
#include <fmt/format.h>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/model_impl.h"

namespace tritbench {
namespace {

constexpr const char* kEmbedding = "token_embd.weight";

// A layer to be packed.
struct DrawJob {
    std::string name;
    tb_shape shape;
    Linear* into;
    const PlanCall* packer;
};

void draw_norms(const WeightSource& source, const std::string& prefix, const ModelConfig& c,
                Layer& layer) {
    layer.attn_norm = source.vector(prefix + "attn_norm.weight", c.hidden);
    layer.ffn_norm = source.vector(prefix + "ffn_norm.weight", c.hidden);
    if (!c.sub_norms) return;
    layer.attn_sub_norm = source.vector(prefix + "attn_sub_norm.weight", c.heads * c.head_dim);
    layer.ffn_sub_norm = source.vector(prefix + "ffn_sub_norm.weight", c.ffn);
}

std::vector<DrawJob> draw_layers(const WeightSource& source, const Plan& plan, Model::Impl& model) {
    std::vector<DrawJob> jobs;
    for (size_t i = 0; i < model.layers.size(); ++i) {
        const std::string prefix = fmt::format("blk.{}.", i);
        draw_norms(source, prefix, model.config, model.layers[i]);
        for (const auto& [linear, into] : model.layers[i].linears(model.config)) {
            const std::string name = fmt::format("{}{}.weight", prefix, linear.role);
            into->role = linear.role;
            jobs.push_back(
                {name, linear.shape(), into, &packer_of(plan, name, into->role, linear.shape())});
        }
    }
    return jobs;
}

uint64_t packed_bytes(const DrawJob& job) {
    return job.packer->kernel->packed_size(&job.shape, &job.packer->tile);
}

// A tied head of float16 is the embedding itself.
void draw_vocabulary(const WeightSource& source, ThreadPool& pool, Model::Impl& model) {
    const tb_shape shape{model.config.vocab, model.config.hidden};
    const tb_kernel& half = *best_kernel_of_layout("f16");
    model.embedding = pack_weights(pool, half, default_tile(half), shape, source.rows(kEmbedding));
    model.embed = [&half, &embedding = model.embedding](int64_t row, float* to) {
        tb_weights_out out{};
        out.values = to;
        out.ld = embedding.shape.k;
        half.unpack(&embedding.shape, &embedding.tile, embedding.bytes.data(), row, row + 1, &out);
    };
    const bool same = model.choose_head(half.layout) == half.layout && model.config.tied_head;
    const tb_tile tile = default_tile(*model.head_kernel);
    if (same) {
        model.head = view_packed(*model.head_kernel, tile, shape, model.embedding.bytes);
    } else {
        const char* name = model.config.tied_head ? kEmbedding : "output.weight";
        model.head = pack_weights(pool, *model.head_kernel, tile, shape, source.rows(name));
    }
}

}  // namespace

std::shared_ptr<const Model> Model::draw(const WeightSource& source, const Plan& plan,
                                         ThreadPool& pool, const LoadProgress& progress,
                                         const LoadOptions& options) {
    auto impl = std::make_unique<Impl>();
    impl->origin = source.name;
    impl->options = options;
    impl->config = source.config;
    impl->make_layers();
    const std::vector<DrawJob> jobs = draw_layers(source, plan, *impl);
    uint64_t total = 0, done = 0;
    for (const DrawJob& job : jobs) {
        require_accepts(*job.packer->kernel, job.shape, job.packer->tile);
        total += packed_bytes(job);
    }
    for (const DrawJob& job : jobs) {
        job.into->rows = source.rows(job.name);
        job.into->weights =
            pack_weights(pool, *job.packer->kernel, job.packer->tile, job.shape, job.into->rows);
        impl->add_linear(job.name, *job.into);
        done += packed_bytes(job);
        if (progress) progress(done, total);
    }
    impl->output_norm = source.vector("output_norm.weight", impl->config.hidden);
    draw_vocabulary(source, pool, *impl);
    return std::make_shared<const Model>(std::move(impl));
}

}  // namespace tritbench
