// Who the CPU is, and whether it is a real one: parsing of /proc/cpuinfo and its relatives.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/system_files.h"

namespace tritbench {

struct CpuIdentity {
    std::string model_name;  // "" unknown
    std::string vendor;
    std::optional<int> family, model, stepping;
    std::vector<std::string> isa_features;  // names of kernels/api/cpu.h, in its order
};

CpuIdentity cpu_identity(const SystemFiles& files, const std::string& cpuinfo);

// "kvm", "vmware", "hyper-v", "xen", ...; "unnamed" for one that hides its name.
std::optional<std::string> hypervisor_name(const SystemFiles& files, const std::string& cpuinfo);

// "docker", "podman", "kubernetes", "lxc", "systemd-nspawn".
std::optional<std::string> container_name(const SystemFiles& files);

// "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz" to "intel-xeon-gold-6148".
std::string cpu_slug(const std::string& model_name);

}  // namespace tritbench
