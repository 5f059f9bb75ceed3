#include "harness/control_groups.h"

#include <algorithm>

namespace tritbench {

namespace {

// A version 1 limit of "none" is the largest page-aligned int64; anything near it is none.
constexpr int64_t kNoLimitV1 = int64_t{1} << 60;

// Folders of the process's group and every group above it, below sys/fs/cgroup, for version 2
// (controller "") or one version 1 controller. Inside a container the path in /proc/self/cgroup
// may belong to the host and not exist here: the root of the mount is always among them.
std::vector<std::string> group_folders(const SystemFiles& files, const std::string& controller) {
    const std::string mount = "sys/fs/cgroup/" + (controller.empty() ? "" : controller + "/");
    std::vector<std::string> folders{mount};
    const auto groups = files.text("proc/self/cgroup");
    if (!groups) return folders;
    for (const std::string& line : lines_of(*groups)) {
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        const bool ours = controller.empty()
                              ? controllers == ",,"
                              : controllers.find("," + controller + ",") != std::string::npos;
        if (!ours) continue;
        std::string path = line.substr(second + 1);
        while (path.size() > 1) {
            folders.push_back(mount + path.substr(1) + "/");
            path.resize(path.rfind('/'));
        }
    }
    return folders;
}

template <class T>
void take_less(std::optional<T>& least, T value) {
    least = least ? std::min(*least, value) : value;
}

}  // namespace

std::optional<double> cpu_quota(const SystemFiles& files) {
    std::optional<double> least;
    for (const std::string& folder : group_folders(files, "")) {
        const auto limit = files.word(folder + "cpu.max");  // "max 100000" or "150000 100000"
        if (!limit) continue;
        const auto parts = words_of(*limit);
        if (parts.size() < 2) continue;
        const auto quota = leading_number(parts[0]), period = leading_number(parts[1]);
        if (quota && period && *period > 0) take_less(least, *quota / *period);
    }
    for (const std::string& folder : group_folders(files, "cpu")) {
        const auto quota = files.integer(folder + "cpu.cfs_quota_us");
        const auto period = files.integer(folder + "cpu.cfs_period_us");
        if (quota && period && *quota > 0 && *period > 0)
            take_less(least, static_cast<double>(*quota) / static_cast<double>(*period));
    }
    return least;
}

std::optional<uint64_t> memory_left_by_limit(const SystemFiles& files) {
    std::optional<uint64_t> least;
    const auto consider = [&](const std::string& folder, const char* limit_name,
                              const char* usage_name) {
        const auto limit = files.integer(folder + limit_name);
        const auto usage = files.integer(folder + usage_name);
        if (!limit || *limit < 0 || *limit >= kNoLimitV1) return;
        take_less(least, static_cast<uint64_t>(std::max<int64_t>(0, *limit - usage.value_or(0))));
    };
    for (const std::string& folder : group_folders(files, ""))
        consider(folder, "memory.max", "memory.current");
    for (const std::string& folder : group_folders(files, "memory"))
        consider(folder, "memory.limit_in_bytes", "memory.usage_in_bytes");
    return least;
}

}  // namespace tritbench
