#include "harness/cpu_identity.h"

#include <fmt/format.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <map>
#include <set>

#include "kernels/api/cpu.h"

namespace tritbench {

namespace {

// Names of the operating system kernel that differ from ours in more than underscores.
const std::map<std::string, std::string>& kernel_feature_names() {
    static const std::map<std::string, std::string> names{
        {"avx_vnni", "avxvnni"},         {"avx512_vnni", "avx512vnni"},
        {"avx512_vbmi2", "avx512vbmi2"}, {"avx512_bf16", "avx512bf16"},
        {"avx512_fp16", "avx512fp16"},   {"asimd", "neon"},
        {"asimddp", "dotprod"},
    };
    return names;
}

std::string plain(std::string name) {
    const auto known = kernel_feature_names().find(name);
    if (known != kernel_feature_names().end()) return known->second;
    // sse4_1 and sse4.1, amx_int8 and amx-int8 are one feature.
    name.erase(
        std::remove_if(name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }),
        name.end());
    return name;
}

std::vector<std::string> listed_features(const std::string& cpuinfo) {
    auto list = field(cpuinfo, "flags");
    if (!list) list = field(cpuinfo, "Features");
    std::set<std::string> listed;
    for (const std::string& word : words_of(list.value_or(""))) listed.insert(plain(word));
    std::vector<std::string> result;
    for (const FeatureInfo& feature : all_features())
        if (listed.contains(plain(std::string(feature.name)))) result.emplace_back(feature.name);
    return result;
}

std::vector<std::string> features_of_this_cpu() {
    const tb_features present = detected_features();
    std::vector<std::string> result;
    for (const FeatureInfo& feature : all_features())
        if (present & feature.bit) result.emplace_back(feature.name);
    return result;
}

std::string arm_vendor(int64_t implementer) {
    switch (implementer) {
        case 0x41:
            return "ARM";
        case 0x46:
            return "Fujitsu";
        case 0x48:
            return "HiSilicon";
        case 0x4e:
            return "NVIDIA";
        case 0x51:
            return "Qualcomm";
        case 0x61:
            return "Apple";
        case 0xc0:
            return "Ampere";
        default:
            return fmt::format("ARM implementer {:#04x}", implementer);
    }
}

std::string arm_core(int64_t implementer, int64_t part) {
    static const std::map<std::pair<int64_t, int64_t>, const char*> cores{
        {{0x41, 0xd03}, "Cortex-A53"},  {{0x41, 0xd05}, "Cortex-A55"},
        {{0x41, 0xd07}, "Cortex-A57"},  {{0x41, 0xd08}, "Cortex-A72"},
        {{0x41, 0xd09}, "Cortex-A73"},  {{0x41, 0xd0a}, "Cortex-A75"},
        {{0x41, 0xd0b}, "Cortex-A76"},  {{0x41, 0xd0c}, "Neoverse-N1"},
        {{0x41, 0xd40}, "Neoverse-V1"}, {{0x41, 0xd41}, "Cortex-A78"},
        {{0x41, 0xd44}, "Cortex-X1"},   {{0x41, 0xd46}, "Cortex-A510"},
        {{0x41, 0xd47}, "Cortex-A710"}, {{0x41, 0xd48}, "Cortex-X2"},
        {{0x41, 0xd49}, "Neoverse-N2"}, {{0x41, 0xd4f}, "Neoverse-V2"},
        {{0x46, 0x001}, "A64FX"},       {{0x48, 0xd01}, "Kunpeng-920"},
        {{0xc0, 0xac3}, "Ampere-1"},
    };
    const auto core = cores.find({implementer, part});
    if (core != cores.end()) return core->second;
    return fmt::format("{} part {:#05x}", arm_vendor(implementer), part);
}

// /proc/cpuinfo of ARM has numbers per CPU and no name; big and little cores differ.
void identify_arm(CpuIdentity& cpu, const std::string& cpuinfo) {
    std::vector<std::string> names;
    int64_t implementer = 0;
    for (const std::string& line : lines_of(cpuinfo)) {
        if (const auto value = field(line, "CPU implementer"))
            implementer = leading_integer(*value).value_or(0);
        const auto part = field(line, "CPU part");
        const auto number = part ? leading_integer(*part) : std::nullopt;
        if (!number) continue;
        const std::string name = arm_core(implementer, *number);
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
        if (!cpu.model) cpu.model = static_cast<int>(*number);
    }
    if (names.empty()) return;
    cpu.vendor = arm_vendor(implementer);
    cpu.model_name = fmt::format("{}", fmt::join(names, " + "));
    const auto variant = field(cpuinfo, "CPU variant"), revision = field(cpuinfo, "CPU revision");
    if (variant && revision)
        cpu.stepping = static_cast<int>(leading_integer(*variant).value_or(0) * 16 +
                                        leading_integer(*revision).value_or(0));
}

std::optional<int> number_field(const std::string& cpuinfo, const char* name) {
    const auto value = field(cpuinfo, name);
    const auto number = value ? leading_integer(*value) : std::nullopt;
    return number ? std::optional<int>(static_cast<int>(*number)) : std::nullopt;
}

// The signature in CPUID leaf 0x40000000.
std::string cpuid_hypervisor() {
#if defined(__x86_64__)
    unsigned a = 0, b = 0, c = 0, d = 0;
    __cpuid(0x40000000, a, b, c, d);
    std::array<char, 13> text{};
    std::memcpy(text.data(), &b, 4);
    std::memcpy(text.data() + 4, &c, 4);
    std::memcpy(text.data() + 8, &d, 4);
    const std::string signature = text.data();
    static const std::map<std::string, std::string> names{
        {"KVMKVMKVM", "kvm"},         {"VMwareVMware", "vmware"}, {"Microsoft Hv", "hyper-v"},
        {"XenVMMXenVMM", "xen"},      {"TCGTCGTCGTCG", "qemu"},   {"VBoxVBoxVBox", "virtualbox"},
        {" lrpepyh vr", "parallels"}, {"bhyve bhyve ", "bhyve"},  {"ACRNACRNACRN", "acrn"}};
    const auto known = names.find(signature);
    return known == names.end() ? "" : known->second;
#else
    return "";
#endif
}

// What the firmware says of the machine's maker.
std::string firmware_hypervisor(const SystemFiles& files) {
    const std::string maker = files.word("sys/class/dmi/id/sys_vendor").value_or("") + " " +
                              files.word("sys/class/dmi/id/product_name").value_or("");
    const auto has = [&](const char* what) { return maker.find(what) != std::string::npos; };
    if (has("VMware")) return "vmware";
    if (has("VirtualBox") || has("innotek")) return "virtualbox";
    if (has("Microsoft Corporation Virtual Machine")) return "hyper-v";
    if (has("Xen")) return "xen";
    if (has("Parallels")) return "parallels";
    if (has("QEMU") || has("KVM") || has("Google Compute Engine")) return "kvm";
    if (has("Amazon EC2") && !has(".metal")) return "kvm";
    return "";
}

}  // namespace

CpuIdentity cpu_identity(const SystemFiles& files, const std::string& cpuinfo) {
    CpuIdentity cpu;
    if (field(cpuinfo, "CPU implementer")) {
        identify_arm(cpu, cpuinfo);
    } else {
        cpu.model_name = field(cpuinfo, "model name").value_or("");
        cpu.vendor = field(cpuinfo, "vendor_id").value_or("");
        cpu.family = number_field(cpuinfo, "cpu family");
        cpu.model = number_field(cpuinfo, "model");
        cpu.stepping = number_field(cpuinfo, "stepping");
    }
    // An emulator may show the host's cpuinfo: ask the CPU that runs this code.
    cpu.isa_features = files.is_real() ? features_of_this_cpu() : listed_features(cpuinfo);
    return cpu;
}

std::optional<std::string> hypervisor_name(const SystemFiles& files, const std::string& cpuinfo) {
    if (const auto type = files.word("sys/hypervisor/type")) return type;
    const auto flags = field(cpuinfo, "flags");
    if (flags) {
        // x86 says so itself; the maker alone would call a bare-metal cloud machine virtual.
        const auto words = words_of(*flags);
        if (std::find(words.begin(), words.end(), "hypervisor") == words.end()) return std::nullopt;
        if (files.is_real())
            if (std::string name = cpuid_hypervisor(); !name.empty()) return name;
        const std::string name = firmware_hypervisor(files);
        return name.empty() ? "unnamed" : name;
    }
    if (const auto node = files.word("proc/device-tree/hypervisor/compatible"))
        return node->find("kvm") != std::string::npos ? "kvm" : *node;
    const std::string name = firmware_hypervisor(files);
    return name.empty() ? std::nullopt : std::optional<std::string>(name);
}

std::optional<std::string> container_name(const SystemFiles& files) {
    if (files.exists(".dockerenv")) return "docker";
    if (files.exists("run/.containerenv")) return "podman";
    if (const auto manager = files.word("run/systemd/container")) return manager;
    const std::string groups = files.text("proc/1/cgroup").value_or("");
    if (groups.find("kubepods") != std::string::npos) return "kubernetes";
    if (groups.find("docker") != std::string::npos) return "docker";
    if (groups.find("/lxc") != std::string::npos) return "lxc";
    return std::nullopt;
}

std::string cpu_slug(const std::string& model_name) {
    std::string text = model_name.substr(0, model_name.find('@'));
    for (const char* mark : {"(R)", "(r)", "(TM)", "(tm)"})
        for (size_t at; (at = text.find(mark)) != std::string::npos;)
            text.replace(at, std::strlen(mark), " ");
    std::string slug;
    for (std::string word : words_of(text)) {
        std::transform(word.begin(), word.end(), word.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        if (word == "with") break;  // "with Radeon Graphics"
        if (word == "cpu" || word == "processor" || word == "+" || word.ends_with("-core"))
            continue;
        for (char& c : word)
            if (!std::isalnum(static_cast<unsigned char>(c))) c = '-';
        if (slug.size() + word.size() > 40) break;
        slug += (slug.empty() ? "" : "-") + word;
    }
    return slug.empty() ? "unknown-cpu" : slug;
}

}  // namespace tritbench
