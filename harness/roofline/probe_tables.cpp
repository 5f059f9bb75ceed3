#include "harness/roofline/probe_tables.h"

#include "kernels/api/cpu.h"

extern "C" {
extern const tb_probe_table tb_probes_scalar;
#if defined(__x86_64__)
extern const tb_probe_table tb_probes_avx2, tb_probes_avxvnni, tb_probes_avx512,
    tb_probes_avx512vnni, tb_probes_avx512vbmi;
#endif
}

namespace tritbench {

const std::vector<const tb_probe_table*>& all_probe_tables() {
    static const std::vector<const tb_probe_table*> tables {
        &tb_probes_scalar,
#if defined(__x86_64__)
            &tb_probes_avx2, &tb_probes_avxvnni, &tb_probes_avx512, &tb_probes_avx512vnni,
            &tb_probes_avx512vbmi,
#endif
    };
    return tables;
}

std::vector<const tb_probe_table*> allowed_probe_tables() {
    std::vector<const tb_probe_table*> allowed;
    for (const tb_probe_table* table : all_probe_tables())
        if ((table->features & ~allowed_features()) == 0) allowed.push_back(table);
    return allowed;
}

}  // namespace tritbench
