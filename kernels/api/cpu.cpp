#include "kernels/api/cpu.h"

#include <cctype>
#include <cstdlib>

#include "kernels/api/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace tritbench {

namespace {

constexpr tb_features kAvx512Base = TB_FEATURE_AVX512F | TB_FEATURE_AVX2 | TB_FEATURE_FMA;

struct Level {
    std::string_view name;
    tb_features features;
};

const Level kLevels[] = {
    {"baseline", 0},
    {"x86-64-v2", TB_FEATURE_SSSE3 | TB_FEATURE_SSE41},
    {"x86-64-v3", TB_ISA_AVX2},
    {"x86-64-v4", TB_ISA_AVX512},
    {"icelake", TB_ISA_AVX512VBMI | TB_FEATURE_AVX512VBMI2 | TB_FEATURE_GFNI},
    {"armv8.0", TB_ISA_NEON},
    {"armv8.2", TB_ISA_DOTPROD},
};

tb_features with_needs(tb_features features) {
    tb_features all = features;
    // all_features lists what a feature needs after what it is built on: going down once is enough.
    const auto& infos = all_features();
    for (auto it = infos.rbegin(); it != infos.rend(); ++it) {
        if (all & it->bit) all |= it->needs;
    }
    return all;
}

#if defined(__x86_64__)

uint64_t extended_control_register() {
    uint32_t low = 0, high = 0;
    // The xgetbv intrinsic needs -mxsave; the instruction itself needs only OSXSAVE, checked first.
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t{high} << 32) | low;
}

tb_features detect() {
    uint32_t a = 0, b = 0, c = 0, d = 0;
    tb_features f = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0) return 0;
    const uint32_t c1 = c;
    if (c1 & bit_SSSE3) f |= TB_FEATURE_SSSE3;
    if (c1 & bit_SSE4_1) f |= TB_FEATURE_SSE41;
    const uint64_t xcr = (c1 & bit_OSXSAVE) ? extended_control_register() : 0;
    const bool ymm = (xcr & 0x6) == 0x6;
    const bool zmm = (xcr & 0xe6) == 0xe6;
    const bool tiles = (xcr & 0x60000) == 0x60000;
    if (!ymm || !(c1 & bit_AVX)) return f;
    f |= TB_FEATURE_AVX;
    if (c1 & bit_FMA) f |= TB_FEATURE_FMA;
    if (c1 & bit_F16C) f |= TB_FEATURE_F16C;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return f;
    if (b & (1U << 5)) f |= TB_FEATURE_AVX2;
    if (c & (1U << 8)) f |= TB_FEATURE_GFNI;
    if (zmm && (b & (1U << 16))) {
        f |= TB_FEATURE_AVX512F;
        if (b & (1U << 17)) f |= TB_FEATURE_AVX512DQ;
        if (b & (1U << 30)) f |= TB_FEATURE_AVX512BW;
        if (b & (1U << 31)) f |= TB_FEATURE_AVX512VL;
        if (c & (1U << 1)) f |= TB_FEATURE_AVX512VBMI;
        if (c & (1U << 6)) f |= TB_FEATURE_AVX512VBMI2;
        if (c & (1U << 11)) f |= TB_FEATURE_AVX512VNNI;
        if (d & (1U << 23)) f |= TB_FEATURE_AVX512FP16;
    }
    if (tiles && (d & (1U << 24)) && (d & (1U << 25))) f |= TB_FEATURE_AMX_INT8;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) {
        if (a & (1U << 4)) f |= TB_FEATURE_AVXVNNI;
        if ((f & TB_FEATURE_AVX512F) && (a & (1U << 5))) f |= TB_FEATURE_AVX512BF16;
    }
    return f;
}

// AuthenticAMD, of a family that has AVX-512: Zen 4 and later.
bool detect_amd_with_avx512() {
    uint32_t a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(0, &a, &b, &c, &d) == 0) return false;
    const bool amd = b == 0x68747541 && d == 0x69746e65 && c == 0x444d4163;
    return amd && (detected_features() & TB_FEATURE_AVX512F) != 0;
}

#elif defined(__aarch64__)

bool detect_amd_with_avx512() {
    return false;
}

tb_features detect() {
    const unsigned long hwcap = getauxval(AT_HWCAP);
    const unsigned long hwcap2 = getauxval(AT_HWCAP2);
    tb_features f = TB_FEATURE_NEON;
    if (hwcap & (1UL << 20)) f |= TB_FEATURE_DOTPROD;
    if (hwcap & (1UL << 22)) f |= TB_FEATURE_SVE;
    if (hwcap2 & (1UL << 1)) f |= TB_FEATURE_SVE2;
    if (hwcap2 & (1UL << 13)) f |= TB_FEATURE_I8MM;
    return f;
}

#else

bool detect_amd_with_avx512() {
    return false;
}

tb_features detect() {
    return 0;
}

#endif

std::string trimmed_lower(std::string_view text) {
    std::string out;
    for (char ch : text) {
        if (std::isspace(static_cast<unsigned char>(ch)) == 0) {
            out += static_cast<char>(std::tolower(static_cast<unsigned char>(ch)));
        }
    }
    return out;
}

tb_features parse_one(const std::string& name) {
    for (const Level& level : kLevels) {
        if (level.name == name) return with_needs(level.features);
    }
    for (const FeatureInfo& info : all_features()) {
        if (info.name == name) return with_needs(info.bit);
    }
    std::string known;
    for (const Level& level : kLevels) known += std::string(level.name) + " ";
    for (const FeatureInfo& info : all_features()) known += std::string(info.name) + " ";
    known.pop_back();
    throw Error("TRITBENCH_CPU: unknown feature or level '" + name +
                "'; expected a comma-separated list of: " + known);
}

}  // namespace

const std::vector<FeatureInfo>& all_features() {
    static const std::vector<FeatureInfo> infos = {
        {TB_FEATURE_SSSE3, "ssse3", 0},
        {TB_FEATURE_SSE41, "sse4.1", TB_FEATURE_SSSE3},
        {TB_FEATURE_AVX, "avx", TB_FEATURE_SSE41},
        {TB_FEATURE_AVX2, "avx2", TB_FEATURE_AVX},
        {TB_FEATURE_FMA, "fma", TB_FEATURE_AVX},
        {TB_FEATURE_F16C, "f16c", TB_FEATURE_AVX},
        {TB_FEATURE_AVXVNNI, "avxvnni", TB_FEATURE_AVX2},
        {TB_FEATURE_AVX512F, "avx512f", kAvx512Base & ~TB_FEATURE_AVX512F},
        {TB_FEATURE_AVX512BW, "avx512bw", kAvx512Base},
        {TB_FEATURE_AVX512VL, "avx512vl", kAvx512Base},
        {TB_FEATURE_AVX512DQ, "avx512dq", kAvx512Base},
        {TB_FEATURE_AVX512VNNI, "avx512vnni", kAvx512Base},
        {TB_FEATURE_AVX512VBMI, "avx512vbmi", kAvx512Base | TB_FEATURE_AVX512BW},
        {TB_FEATURE_AVX512VBMI2, "avx512vbmi2", kAvx512Base | TB_FEATURE_AVX512BW},
        {TB_FEATURE_AVX512BF16, "avx512bf16", kAvx512Base},
        {TB_FEATURE_AVX512FP16, "avx512fp16", kAvx512Base | TB_FEATURE_AVX512BW},
        {TB_FEATURE_GFNI, "gfni", 0},
        {TB_FEATURE_AMX_INT8, "amx-int8", 0},
        {TB_FEATURE_NEON, "neon", 0},
        {TB_FEATURE_DOTPROD, "dotprod", TB_FEATURE_NEON},
        {TB_FEATURE_I8MM, "i8mm", TB_FEATURE_NEON},
        {TB_FEATURE_SVE, "sve", TB_FEATURE_NEON},
        {TB_FEATURE_SVE2, "sve2", TB_FEATURE_SVE},
    };
    return infos;
}

tb_features detected_features() {
    static const tb_features features = detect();
    return features;
}

tb_features parse_feature_list(std::string_view list) {
    tb_features features = 0;
    size_t begin = 0;
    while (begin <= list.size()) {
        size_t end = list.find(',', begin);
        if (end == std::string_view::npos) end = list.size();
        const std::string name = trimmed_lower(list.substr(begin, end - begin));
        if (!name.empty()) features |= parse_one(name);
        begin = end + 1;
    }
    return features;
}

tb_features allowed_features() {
    static const tb_features features = [] {
        const char* list = std::getenv("TRITBENCH_CPU");
        if (list == nullptr || *list == '\0') return detected_features();
        return detected_features() & parse_feature_list(list);
    }();
    return features;
}

bool cpu_prefetches_well() {
    static const bool well = detect_amd_with_avx512();
    return well;
}

std::string feature_names(tb_features features) {
    std::string names;
    for (const FeatureInfo& info : all_features()) {
        if (features & info.bit) names += (names.empty() ? "" : ",") + std::string(info.name);
    }
    return names.empty() ? "none" : names;
}

}  // namespace tritbench
