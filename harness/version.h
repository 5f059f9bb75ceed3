// What this binary is: revision, compiler, flags. Filled in by the build.
#pragma once

#include <string>

namespace tritbench {

struct BuildInfo {
    const char* version;     // project version
    const char* revision;    // git commit, or "unknown"
    bool dirty;              // tracked files differed from the commit when it was configured/built
    const char* compiler;    // "GNU 12.2.0"
    const char* flags;       // flags of the non-kernel code
    const char* build_type;  // Release, Debug
};

const BuildInfo& build_info();
std::string version_text();

}  // namespace tritbench
