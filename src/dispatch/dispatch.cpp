#include "dispatch/dispatch.h"

#include <cstdlib>
#include <stdexcept>

#include "dispatch/cpu.h"

namespace nacre {

// The build defines NACRE_WITH_<isa> for each table that it links.
#ifdef NACRE_WITH_baseline
namespace baseline {
extern const KernelCode kCode[];
}
#endif
#ifdef NACRE_WITH_avx2
namespace avx2 {
extern const KernelCode kCode[];
}
#endif
#ifdef NACRE_WITH_avx512
namespace avx512 {
extern const KernelCode kCode[];
}
#endif
#ifdef NACRE_WITH_neon
namespace neon {
extern const KernelCode kCode[];
}
#endif

namespace {

KernelTable table_from(const char* isa, const KernelCode* code) {
  KernelTable table{isa, {}};
  for (int i = 0; i < kKernelCount; ++i) table.kernels.emplace(kKernels[i].name, KernelEntry{kKernels[i], code[i]});
  return table;
}

std::vector<KernelTable> find_tables() {
  std::vector<KernelTable> list;
#ifdef NACRE_WITH_baseline
  list.push_back(table_from("baseline", baseline::kCode));
#endif
#ifdef NACRE_WITH_neon
  list.push_back(table_from("neon", neon::kCode));
#endif
#ifdef NACRE_WITH_avx2
  if (cpu_runs_avx2()) list.push_back(table_from("avx2", avx2::kCode));
#endif
#ifdef NACRE_WITH_avx512
  if (cpu_runs_avx512()) list.push_back(table_from("avx512", avx512::kCode));
#endif
  return list;
}

const KernelTable& choose(const std::string& isa, const std::string& said) {
  std::string names;
  for (const KernelTable& t : runnable_tables()) {
    if (isa == t.isa) return t;
    names += (names.empty() ? "" : ", ") + std::string(t.isa);
  }
  throw std::invalid_argument(said + "'" + isa + "' cannot be used: this build on this CPU runs " +
                              (names.empty() ? "none of the instruction sets that it was compiled for" : names));
}

}  // namespace

const std::vector<KernelTable>& runnable_tables() {
  static const std::vector<KernelTable> list = find_tables();
  return list;
}

const KernelTable& active_table() {
  static const KernelTable& table = []() -> const KernelTable& {
    const char* asked = std::getenv("NACRE_ISA");
    if (asked && *asked) return choose(asked, "NACRE_ISA=");
    if (runnable_tables().empty()) return choose("", "ISA ");
    return runnable_tables().back();
  }();
  return table;
}

const KernelTable& table_of(const std::string& isa) { return isa.empty() ? active_table() : choose(isa, "isa="); }

const KernelEntry* find_kernel(const KernelTable& table, const std::string& name) {
  const auto found = table.kernels.find(name);
  return found == table.kernels.end() ? nullptr : &found->second;
}

}  // namespace nacre
