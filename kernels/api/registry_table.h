// What the build generates for the registry: the tables of the kernel files and their hashes.
#pragma once

#include <span>
#include <string_view>

#include "kernels/api/kernel.h"

namespace tritbench {

struct RegistryEntry {
    std::string_view file;  // "<layout>_<isa>"
    const tb_kernel_table* table;
};
std::span<const RegistryEntry> registry_entries();

struct ObjectHash {
    std::string_view library;  // "kernel_<layout>_<isa>"
    std::string_view hash;     // 16 hex digits
};
std::span<const ObjectHash> object_hashes();

}  // namespace tritbench
